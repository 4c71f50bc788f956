// The failed jobs of all owners, each with its reason: retry its segments, or all of it.

import { $, el } from "./dom.js";
import { button, renew, row } from "./operations-rows.js";
import { count, plural, short, when } from "./words.js";

const PAGE = 20;
// As many as the overview has of the newest.
const NEWEST = 10;

/** `act(path, told)` sends an action, `complain(error)` shows an error. The newest come by themselves, older ones when asked for. */
export function createFailed(act, complain, api) {
  const more = $("#operations-older");
  const older = [];
  let newest = [];

  function show({ failed }) {
    newest = failed;
    draw();
  }

  function draw() {
    const known = new Set(newest.map((job) => job.id));
    const jobs = [...newest, ...older.filter((job) => !known.has(job.id))];
    renew($("#operations-failed"), jobs.map(failed), "No job has failed.");
    more.hidden = newest.length < NEWEST || more.dataset.done === "yes";
  }

  function failed(job) {
    const path = `jobs/${encodeURIComponent(job.id)}/retry`;
    const name = job.title ?? job.name;
    const { total, completed } = job.segments;
    const facts = [job.owner, short(job.model), job.completed_at && when(job.completed_at)];
    const lines = [
      facts.filter(Boolean).join(" · "),
      el("p", { class: "error" }, `${job.error?.code}: ${job.error?.message}`),
      `${count(completed)} of ${plural(total, "segment")} done${job.retries ? `, retried ${plural(job.retries, "time")}` : ""}`,
      job.failed_segment ? spoken(job) : "",
    ];
    const retry = (query, told) => async () => {
      if (await act(path + query, told)) forget(job.id);
    };
    return row(job.id, name, "", lines, [
      button("Retry what is missing", name, retry("", `${name} is spoken on`)),
      button(
        "Retry all of it",
        name,
        retry("?whole=true", `${name} is spoken anew`),
        "Speak all of it anew?",
      ),
    ]);
  }

  function spoken({ id, failed_segment: segment }) {
    const summary = `Segment ${segment.segment}, ${plural(segment.attempts, "attempt")}`;
    return el(
      "details",
      { class: "facts", "data-id": id },
      el("summary", {}, summary),
      el("p", {}, segment.text),
    );
  }

  function forget(id) {
    const at = older.findIndex((job) => job.id === id);
    if (at >= 0) older.splice(at, 1);
    draw();
  }

  async function loadOlder() {
    const last = older.at(-1) ?? newest.at(-1);
    const path = `/v1/admin/jobs?status=failed&limit=${PAGE}&after=${encodeURIComponent(last.id)}`;
    const page = await api.json(path);
    older.push(...page.data);
    if (!page.has_more) more.dataset.done = "yes";
    draw();
  }

  more.addEventListener("click", () => loadOlder().catch(complain));
  return { show };
}
