// The failed jobs of all owners, each with its reason: choose a reason; retry a job's segments, or all of it.

import { $, el, fill, say } from "./dom.js";
import { button, renew, row } from "./operations-rows.js";
import { count, plural, short, when } from "./words.js";

const PAGE = 20;
// As many as the overview has of the newest.
const NEWEST = 10;
// What most jobs fail of; others are offered once a job with them was shown.
const REASONS = ["synthesis_failed", "worker_lost"];

/** `act(path, told)` sends an action, `complain(error)` shows an error. The newest come by themselves, older ones when asked for. */
export function createFailed(act, complain, api) {
  const more = $("#operations-older");
  const reason = $("#operations-reason");
  const reasons = new Set(REASONS);
  let older = [];
  let newest = [];
  let asked = false; // for older ones
  let loading = false;

  async function show({ failed }) {
    const wanted = reason.value;
    learn(failed);
    const found = wanted ? (await load(NEWEST)).data : failed;
    if (reason.value !== wanted) return; // another one was chosen meanwhile
    if (asked) keepPushedOut(found);
    newest = found;
    draw();
  }

  /** Keep the jobs that newer failures push out of the newest: older than the last of them, so not retried. */
  function keepPushedOut(next) {
    const last = next.at(-1)?.created_at ?? 0;
    const known = new Set(older.map((job) => job.id));
    const pushed = newest.filter((job) => job.created_at < last && !known.has(job.id));
    older.unshift(...pushed);
  }

  /** Failed jobs, of the reason that is chosen. */
  function load(limit, after = "") {
    const query = new URLSearchParams({ status: "failed", limit });
    if (reason.value) query.set("code", reason.value);
    if (after) query.set("after", after);
    return api.json(`/v1/admin/jobs?${query}`);
  }

  /** Offer the reasons of these jobs, too. */
  function learn(jobs) {
    const before = reasons.size;
    for (const job of jobs) if (job.error?.code) reasons.add(job.error.code);
    if (reasons.size > before || reason.options.length === 0)
      fill(reason, [["", "All reasons"], ...[...reasons].sort().map((code) => [code, code])]);
  }

  function draw() {
    const known = new Set(newest.map((job) => job.id));
    const jobs = [...newest, ...older.filter((job) => !known.has(job.id))];
    const none = reason.value ? "No job has failed for this reason." : "No job has failed.";
    renew($("#operations-failed"), jobs.map(failed), none);
    more.hidden = newest.length < NEWEST || more.dataset.done === "yes";
  }

  function failed(job) {
    const path = `jobs/${encodeURIComponent(job.id)}/retry`;
    const name = job.title ?? job.name;
    const { total, completed } = job.segments;
    const facts = [job.owner, short(job.model), job.completed_at && when(job.completed_at)];
    const lines = [
      name === job.id ? "" : job.id,
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
    older = older.filter((job) => job.id !== id);
    draw();
  }

  async function loadOlder() {
    if (loading) return; // a second press would bring the same jobs again
    loading = true;
    try {
      await addOlder();
    } finally {
      loading = false;
    }
  }

  async function addOlder() {
    const wanted = reason.value;
    const page = await load(PAGE, (older.at(-1) ?? newest.at(-1)).id);
    if (reason.value !== wanted) return;
    asked = true;
    older.push(...page.data);
    learn(page.data);
    if (!page.has_more) more.dataset.done = "yes";
    draw();
  }

  async function choose() {
    older = [];
    asked = false;
    more.dataset.done = "";
    const wanted = reason.value;
    const page = await load(NEWEST);
    if (reason.value !== wanted) return;
    newest = page.data;
    draw();
    say(`${plural(newest.length, "failed job")} shown`);
  }

  more.addEventListener("click", () => loadOlder().catch(complain));
  reason.addEventListener("change", () => choose().catch(complain));
  return { show };
}
