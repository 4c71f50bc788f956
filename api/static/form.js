// The form: from what was chosen to an accepted job.

import { createChoices } from "./choices.js";
import { $, say } from "./dom.js";
import { createDraft } from "./draft.js";
import { clearErrors, showError } from "./errors.js";
import { Away } from "./api.js";
import { createSections } from "./sections.js";
import { createText } from "./text.js";

/** `sent(job, request)` is called with each job that was accepted. */
export function startForm({ api, catalogue, limits, clone, sent }) {
  const form = $("#form");
  const draft = createDraft(form);
  const sections = createSections(api);
  const text = createText(limits, changed, sections.ask);
  const choices = createChoices(form, catalogue);
  let name = newName();
  let restored = false;

  function changed() {
    name = newName();
    $("#accepted").hidden = true;
    draft.keep();
  }

  /** The fields of the request, without the text. */
  function fields() {
    const task = choices.task();
    const chosen = {
      task,
      model: $("#model").value,
      language: $("#language").value,
      response_format: $("#response_format").value,
      seed: $("#seed").value.trim(),
      title: $("#title").value.trim(),
      instructions: $("#instructions-field").hidden ? "" : $("#instructions").value.trim(),
      ...(task === "custom_voice" ? { voice: choices.voice() } : {}),
      ...(task === "voice_clone" ? { voice: clone.voice() } : {}),
    };
    return Object.fromEntries(Object.entries(chosen).filter(([, value]) => value));
  }

  function body() {
    const metadata = { opening: text.opening };
    if (!text.file) {
      const { seed, ...rest } = fields();
      const given = seed && (/^\d+$/.test(seed) ? Number(seed) : seed);
      return {
        json: { ...rest, ...(seed ? { seed: given } : {}), metadata, input: $("#input").value },
      };
    }
    const filled = new FormData();
    filled.set("file", text.file);
    filled.set("metadata", JSON.stringify(metadata));
    if (sections.chapters) filled.set("chapters", sections.chapters);
    for (const [field, value] of Object.entries(fields())) filled.set(field, value);
    return { body: filled };
  }

  async function submit() {
    clearErrors(form);
    if (!text.file && !$("#input").value.trim()) {
      throw Object.assign(new Error("Write something first, or choose a file."), {
        param: "input",
      });
    }
    if (choices.task() === "voice_clone" && !clone.voice()) {
      throw Object.assign(new Error("Add a voice first."), { param: "voice" });
    }
    // The same name as long as nothing changes: what was sent twice, since no answer came, is one job.
    const headers = { "Idempotency-Key": name };
    const request = body();
    const job = await api.json("/v1/jobs", { method: "POST", headers, ...request });
    name = newName();
    sent(job, request);
    $("#accepted").hidden = false;
    say("Accepted. The job is at the top of the list.");
  }

  async function press(event) {
    event.preventDefault();
    const button = $("#submit");
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      await submit();
    } catch (error) {
      const kept =
        error instanceof Away ? " What you wrote is kept; send it again when it is back." : "";
      showError(form, { message: error.message + kept, param: error.param }, $("#form-error"));
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  }

  form.addEventListener("submit", press);
  function show() {
    choices.show();
    clone.show();
  }

  form.addEventListener("change", () => {
    show();
    changed();
  });
  form.addEventListener("input", changed);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  return {
    choose: text.choose,
    /** Draw what can be chosen, the first time with what was written before. */
    show() {
      if (restored || catalogue.empty) show();
      else draft.restore(show);
      restored ||= !catalogue.empty;
      text.show();
    },
  };
}

/** A name for a request; `crypto.randomUUID` is for HTTPS only. */
function newName() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join(
    "-",
  );
}
