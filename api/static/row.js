// One job in the list: what it is, how far it is, what can be done with it.

import { askTwice } from "./ask-twice.js";
import { el, icon } from "./dom.js";
import { called, clock, count, plural, short, span, spoken, when } from "./words.js";

const SAID = {
  queued: "Waiting",
  in_progress: "Reading",
  completed: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

const MADE = { voice_design: "Described voice", voice_clone: "Cloned voice" };

/** A row; `actions` are listen, cancel, remove and again, each called with the job. */
export function createRow(actions) {
  const title = el("h3", {});
  const facts = el("p", { class: "facts" });
  const bar = el("progress", { max: 100 });
  const state = el("p", { class: "state" });
  const failed = el("p", { class: "error", hidden: true });
  const warned = el("details", { class: "warned", hidden: true });
  const buttons = el("div", { class: "actions" });
  const node = el("li", { class: "job" }, title, facts, bar, state, failed, warned, buttons);
  let shown = "";

  function update(job) {
    const name = called(job);
    node.dataset.status = job.status;
    node.dataset.id = job.id;
    title.textContent = name;
    facts.textContent = about(job);
    bar.hidden = !["queued", "in_progress"].includes(job.status);
    bar.value = job.progress;
    bar.setAttribute("aria-label", `Progress of ${name}`);
    state.replaceChildren(el("b", {}, SAID[job.status]), going(job));
    if (job.error) showFailure(job.error.message);
    warn(job.warnings ?? []);
    offer(job, name);
  }

  /** What was left out of the text, guessed or mended: it does not change. */
  function warn(warnings) {
    if (!warnings.length || !warned.hidden) return;
    const lines = warnings.map(({ message, where }) =>
      el("li", {}, where ? `${where}: ${message}` : message),
    );
    const summary = el("summary", {}, `${plural(warnings.length, "warning")} about the text`);
    warned.replaceChildren(summary, el("ul", {}, ...lines));
    warned.hidden = false;
  }

  function showFailure(message) {
    failed.textContent = message;
    failed.hidden = false;
  }

  function offer(job, name) {
    const offered = {
      listen: job.status === "completed",
      cancel: !bar.hidden,
      again: job.status !== "completed" && bar.hidden && actions.canSend(job),
      remove: bar.hidden,
    };
    const now = JSON.stringify(offered);
    if (now === shown) return; // else the focus would be lost at each step of progress
    shown = now;
    const held = buttons.contains(document.activeElement);
    buttons.replaceChildren(
      offered.listen ? action("listen", job, name, icon("play"), "Listen") : "",
      offered.cancel ? action("cancel", job, name, "Cancel") : "",
      offered.again ? action("again", job, name, "Send again") : "",
      offered.remove ? askTwice(action("remove", job, name, "Delete"), name) : "",
    );
    if (held) buttons.querySelector("button")?.focus();
  }

  function action(what, job, name, ...content) {
    const button = el(
      "button",
      { type: "button", class: what === "listen" ? "" : "quiet" },
      ...content,
    );
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      await actions[what](job).catch((error) => showFailure(error.message));
      button.disabled = false;
    });
    return button;
  }

  return { node, update, showFailure };
}

/** What does not change: who reads it, with which model, since when. */
function about(job) {
  const preset = job.task === "custom_voice";
  const own = preset ? spoken(job.voice) : (job.voice ?? MADE[job.task]);
  return [own, short(job.model), when(job.created_at)].filter(Boolean).join(" · ");
}

/** What to do about a model that no worker serves. */
function lacking(model) {
  return `no worker serves ${short(model)}: start one with python -m worker --model ${model}`;
}

/** How it stands, in words. */
function going(job) {
  const { total, completed, truncated } = job.segments;
  if (job.waiting_for_model) return ` · ${lacking(job.waiting_for_model)}`;
  if (job.status === "queued") {
    const before = (job.queue_position ?? 1) - 1;
    return ` · ${plural(total, "segment")}${before ? `, ${plural(before, "job")} before it` : ""}`;
  }
  if (job.status === "in_progress") {
    const left = job.eta_s === null ? "" : ` · ${span(job.eta_s)} to go`;
    return ` · ${count(completed)} of ${plural(total, "segment")}${left}`;
  }
  if (job.status !== "completed") return ` · ${count(completed)} of ${plural(total, "segment")}`;
  const cut = truncated ? ` · ${plural(truncated, "segment")} cut short` : "";
  return ` · ${clock(job.audio.seconds)} · ${job.audio.format.toUpperCase()}${cut}`;
}
