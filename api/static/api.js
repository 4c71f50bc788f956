// Everything that goes over the network: the key's header, errors in one shape, events.

import { BASE } from "./dom.js";
import { events } from "./events.js";

/** The server refused: its own words, the field that they are about, and the status. */
export class Refused extends Error {
  constructor(status, { message, param, code }) {
    super(message);
    Object.assign(this, { status, param, code });
  }
}

/** The server could not be reached. */
export class Away extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

/** The URL of one of our own paths, which begins with a slash. */
export const urlOf = (path) => BASE + path.slice(1);

/** The path of a part of a job; its `links` lack the prefix of a proxy that does not name it. */
export const pathOf = (job, part) => `/v1/jobs/${job.id}/${part}`;

/**
 * `key` keeps the API key and asks for one; `reachable(bool)` hears how each request went.
 */
export function createApi(key, reachable) {
  const authorization = () => (key.value ? { Authorization: `Bearer ${key.value}` } : {});

  async function reach(path, { json, body, stream, headers = {}, ...rest }) {
    const kind = json ? { "Content-Type": "application/json" } : {};
    const asked = {
      ...rest,
      body: json ? JSON.stringify(json) : body,
      headers: { ...kind, ...authorization(), ...headers },
    };
    try {
      const answer = await fetch(urlOf(path), asked);
      reachable(true);
      return answer;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      // A stream may fail where all else goes well: what asks in its stead finds out.
      if (!stream) reachable(false);
      throw new Away();
    }
  }

  /** The answer to a request, asked again with a key if the server wants one; throws `Refused`. */
  async function send(path, options = {}) {
    const used = key.value;
    const answer = await reach(path, options);
    if (answer.ok) return answer;
    const refusal = await refusalOf(answer);
    const asksForKey = refusal.status === 401 && !options.quiet;
    if (asksForKey && (key.value !== used || (await key.ask(refusal.message)))) {
      return send(path, options);
    }
    throw refusal;
  }

  return {
    send,
    json: async (path, options) => (await send(path, options)).json(),
    blob: async (path) => (await send(path)).blob(),
    get keyed() {
      return Boolean(key.value);
    },
    async *events(path, signal, lastId) {
      const resume = lastId ? { "Last-Event-ID": lastId } : {};
      const headers = { Accept: "text/event-stream", ...resume };
      const answer = await send(path, { headers, signal, stream: true });
      yield* events(answer.body);
    },
  };
}

async function refusalOf(answer) {
  const said = await answer.json().catch(() => null);
  const fallback = { message: `The server answered ${answer.status}.`, param: null, code: "" };
  return new Refused(answer.status, said?.error ?? fallback);
}
