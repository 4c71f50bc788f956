// Who works, what waits, and how fast it goes.

import { $, el } from "./dom.js";
import { count, plural, short } from "./words.js";

const ASK_MS = 5000;

/** Looks every few seconds, unless the page is hidden. */
export function startQueue(api) {
  function show(queue) {
    const open = queue.jobs.queued + queue.jobs.in_progress;
    $("#queue").dataset.workers = queue.workers ? "some" : "none";
    $("#queue-line").textContent = queue.workers
      ? `${plural(queue.workers, "worker")}, ${open ? plural(open, "job") : "all quiet"}`
      : "No worker";
    $("#queue-facts").replaceChildren(facts(queue), models(queue.models));
  }

  function facts({ jobs, segments, segments_per_minute: pace, audio_seconds_per_second: speed }) {
    const pairs = [
      ["Jobs being read", count(jobs.in_progress)],
      ["Jobs waiting", count(jobs.queued)],
      ["Segments waiting", count(segments.queued)],
      ["Segments in a minute", pace ? count(Math.round(pace)) : "–"],
      ["Speed", speed ? `${speed.toFixed(speed < 10 ? 1 : 0)} × real time` : "–"],
    ];
    return el(
      "dl",
      {},
      ...pairs.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]),
    );
  }

  function models(served) {
    const lines = served.map((model) =>
      el(
        "li",
        {},
        el("b", {}, short(model.id)),
        el("span", {}, `${plural(model.workers, "worker")}, ${count(model.queued)} waiting`),
      ),
    );
    const none = "Start one with narrate up, and it is listed here.";
    return lines.length ? el("ul", {}, ...lines) : el("p", { class: "hint" }, none);
  }

  async function look() {
    show(await api.json("/v1/queue", { quiet: true }));
  }

  async function every() {
    if (!document.hidden) await look().catch(() => {});
    setTimeout(every, ASK_MS);
  }

  $("#queue").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    $("#queue").open = false;
    $("#queue summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#queue")) $("#queue").open = false;
  });
  every();
}
