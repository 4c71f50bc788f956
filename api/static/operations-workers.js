// The workers: what each is, and what it speaks; drain, requeue, cancel.

import { $ } from "./dom.js";
import { button, renew, row } from "./operations-rows.js";
import { plural, short, span, when } from "./words.js";

const SAID = { working: "Speaking", idle: "Idle", draining: "Draining", drained: "Drained" };

/** `act(path, told)` sends an action. */
export function createWorkers(act) {
  function show({ workers, at }) {
    const none = "No worker lives: python -m worker --model NAME starts one.";
    const rows = workers.flatMap((worker) => [
      worked(worker),
      ...worker.running.map((segment) => held(segment, worker, at)),
    ]);
    renew($("#operations-workers"), rows, none);
  }

  function worked({ id, state, info, draining_since: drained }) {
    if (!info) return row(id, id, SAID[state], ["Of an older version: stop it with SIGTERM."], []);
    const path = `workers/${encodeURIComponent(id)}`;
    const what = [info.precision, info.device, plural(info.slots, "slot"), info.version];
    const speed = `${info.audio_s_per_s.toFixed(2)} s of speech a second, `;
    const lines = [
      info.models
        .map((model) => short(model) + (info.loaded.includes(model) ? "" : " (not loaded)"))
        .join(", "),
      [...what, `since ${when(info.started_at)}`].filter(Boolean).join(" · "),
      `${speed}${plural(Math.round(info.segments_per_minute), "segment")} in the last minute`,
      `Storage ${info.storage}`,
    ];
    const change = drained
      ? button("Claim again", id, () => act(`${path}/resume`, `${id} claims again`))
      : button("Drain", id, () => act(`${path}/drain`, `${id} claims nothing any more`));
    return row(id, id, SAID[state], lines, [change]);
  }

  function held({ job, segment, since, attempt }, worker, at) {
    const path = `jobs/${encodeURIComponent(job)}`;
    const name = `segment ${segment} of ${job}`;
    const again = attempt > 1 ? `, attempt ${attempt}` : "";
    const lines = [`Held by ${worker.id} for ${span(Math.max(0, at - since))}${again}`];
    return row(`${job}:${segment}`, name, "", lines, [
      button("Give to another worker", name, () =>
        act(`${path}/requeue?segment=${segment}`, `${name} waits again`),
      ),
      button(
        "Cancel the job",
        job,
        () => act(`${path}/cancel`, `${job} is cancelled`),
        "Cancel it for good?",
      ),
    ]);
  }

  return { show };
}
