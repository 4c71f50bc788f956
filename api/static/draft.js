// What is written in the form, kept in this browser until it is sent.

import { $, pick, picked } from "./dom.js";

const STORED = "narrate.draft";
const FIELDS = ["input", "instructions", "language", "model", "response_format", "seed", "title"];
const WAIT_MS = 400;

/** `keep` after each change, `restore` once what can be chosen is there. */
export function createDraft(form) {
  let timer = 0;

  function write() {
    const draft = Object.fromEntries(FIELDS.map((name) => [name, $(`#${name}`).value]));
    draft.task = form.elements.task.value;
    draft.voice = picked($("#voices"));
    draft.cloned = picked($("#cloned"));
    try {
      localStorage.setItem(STORED, JSON.stringify(draft));
    } catch {
      // A book is more than a browser keeps; the one who wrote it has it elsewhere.
    }
  }

  return {
    keep() {
      clearTimeout(timer);
      timer = setTimeout(write, WAIT_MS);
    },
    /** Put back what was written; `show` draws the choices that follow from the task. */
    restore(show) {
      const draft = JSON.parse(localStorage.getItem(STORED) ?? "{}");
      if (draft.task) form.elements.task.value = draft.task;
      show();
      for (const name of FIELDS) if (draft[name]) $(`#${name}`).value = draft[name];
      pick($("#voices"), draft.voice);
      pick($("#cloned"), draft.cloned);
      show();
    },
  };
}
