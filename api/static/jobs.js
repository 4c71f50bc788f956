// The list of jobs, the newest first, each followed until it ends.

import { $, say } from "./dom.js";
import { createFollower, ENDED } from "./follow.js";
import { createRow } from "./row.js";
import { called } from "./words.js";

const PAGE = 20;
const LOOK_MS = 10_000; // jobs that were sent from elsewhere
const END = { completed: "is done", failed: "has failed", cancelled: "is cancelled" };

/** `listen(job)` opens a finished one. */
export function startJobs({ api, sent, listen }) {
  const list = $("#jobs");
  const older = $("#older");
  const rows = new Map();
  const status = new Map();
  let oldest = null;
  const follower = createFollower(api, { changed: show, gone: forget });

  const actions = {
    listen: async (job) => listen(job),
    cancel: async (job) => show(await api.json(`/v1/jobs/${job.id}/cancel`, { method: "POST" })),
    remove: async (job) => {
      await api.send(`/v1/jobs/${job.id}`, { method: "DELETE" });
      say(`${called(job)} is deleted`);
      forget(job.id);
    },
    canSend: (job) => Boolean(sent.request(job.id)),
    again: async (job) => {
      const request = sent.request(job.id);
      add(await api.json("/v1/jobs", { method: "POST", ...request }), request);
    },
  };

  /** Put a job's state into its row, which is made, at the given end, if there is none. */
  function show(job, end = "prepend") {
    if (!rows.has(job.id)) {
      rows.set(job.id, createRow(actions));
      list[end](rows.get(job.id).node);
    }
    rows.get(job.id).update(job);
    tell(job);
    if (!ENDED.includes(job.status)) follower.follow(job.id);
    empty();
  }

  /** Aloud only that it has ended, and only where it was seen before it had. */
  function tell(job) {
    const before = status.get(job.id);
    status.set(job.id, job.status);
    if (before && before !== job.status && END[job.status])
      say(`${called(job)} ${END[job.status]}`);
  }

  function forget(id) {
    follower.leave(id);
    const node = rows.get(id)?.node;
    const next = node?.nextElementSibling ?? node?.previousElementSibling;
    const held = node?.contains(document.activeElement);
    node?.remove();
    rows.delete(id);
    if (held) (next?.querySelector("button") ?? $("#jobs-heading")).focus();
    empty();
  }

  function empty() {
    for (const ghost of list.querySelectorAll(".ghost")) ghost.remove();
    list.removeAttribute("aria-busy");
    $("#jobs-empty").hidden = rows.size > 0;
  }

  async function page(after) {
    const from = after ? `&after=${encodeURIComponent(after)}` : "";
    return api.json(`/v1/jobs?limit=${PAGE}&order=desc${from}`);
  }

  /** Look at the newest jobs; rows that were there keep their place. */
  async function load() {
    const first = rows.size === 0;
    const { data, has_more: more, last_id: last } = await page();
    for (const job of first ? data : data.toReversed()) {
      if (!rows.has(job.id) || status.get(job.id) !== job.status)
        show(job, first ? "append" : "prepend");
    }
    if (first) [older.hidden, oldest] = [!more, last];
    $("#jobs-error").hidden = true;
    empty();
  }

  async function loadOlder() {
    const { data, has_more: more, last_id: last } = await page(oldest);
    for (const job of data) if (!rows.has(job.id)) show(job, "append");
    [older.hidden, oldest] = [!more, last ?? oldest];
    say(`${data.length} older jobs`);
  }

  function add(job, request) {
    sent.keep(job.id, request);
    show(job);
    rows.get(job.id).node.classList.add("new");
  }

  const complain = (error) => {
    $("#jobs-error").textContent = error.message;
    $("#jobs-error").hidden = false;
    empty();
  };
  older.addEventListener("click", () => loadOlder().catch(complain));
  setInterval(() => document.hidden || load().catch(() => {}), LOOK_MS);

  return { add, load: () => load().catch(complain) };
}
