// A job's progress as it happens.

const STREAMS = 3; // A browser has six connections for a server, and the page needs some itself.
const FIRST_MS = 1000;
const LONGEST_MS = 10_000;

export const ENDED = ["completed", "failed", "cancelled"];

/**
 * Follows jobs until they end: the first ones by events, the others, and those whose stream broke,
 * by asking again, ever less often. `changed(job)` hears of each state, `gone(id)` of a job that is
 * no more.
 */
export function createFollower(api, { changed, gone }) {
  const followed = new Map();
  let streams = 0;

  async function listen(id, seen, signal) {
    streams += 1;
    try {
      for await (const event of api.events(`/v1/jobs/${id}/events`, signal, seen.mark)) {
        seen.mark = event.id;
        seen.job = JSON.parse(event.data);
        seen.pause = FIRST_MS;
        changed(seen.job);
      }
    } finally {
      streams -= 1;
    }
  }

  async function ask(id, seen, signal) {
    const job = await api.json(`/v1/jobs/${id}`, { signal });
    const before = seen.job && JSON.stringify(seen.job);
    seen.job = job;
    if (JSON.stringify(job) !== before) changed(job);
  }

  async function follow(id, signal) {
    const seen = { job: null, mark: "", pause: FIRST_MS };
    const ended = () => signal.aborted || ENDED.includes(seen.job?.status);
    while (!ended()) {
      try {
        if (streams < STREAMS) await listen(id, seen, signal).catch(unlessGone);
        if (ended()) return;
        await pause(seen.pause, signal);
        await ask(id, seen, signal);
      } catch (error) {
        if (error.status === 404) return gone(id);
      }
      seen.pause = Math.min(1.5 * seen.pause, LONGEST_MS);
    }
  }

  return {
    follow(id) {
      if (followed.has(id)) return;
      const stop = new AbortController();
      followed.set(id, stop);
      follow(id, stop.signal).finally(() => followed.delete(id));
    },
    leave: (id) => followed.get(id)?.abort(),
  };
}

/** A stream that broke is no loss: the job is asked for instead. */
function unlessGone(error) {
  if (error.status === 404) throw error;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", stop, { once: true });
  });
}
