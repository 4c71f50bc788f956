// What the server refused, in its words, beside the field that it names.

import { $, say } from "./dom.js";

// Names of the API whose field on the page is called otherwise.
const FIELDS = { file: "input" };

/** Take every message away. */
export function clearErrors(root) {
  for (const said of root.querySelectorAll(".error")) said.hidden = true;
  for (const field of root.querySelectorAll("[aria-invalid]"))
    field.removeAttribute("aria-invalid");
}

/** Do something in a part of the page, and show there what is refused. */
export async function attempt(root, fallback, action) {
  clearErrors(root);
  try {
    await action();
  } catch (refused) {
    showError(root, refused, fallback);
  }
}

/** Show an error beside its field, and go there; without one, at `fallback`. */
export function showError(root, error, fallback) {
  const name = FIELDS[error.param] ?? error.param;
  const known = name && /^\w+$/.test(name) ? $(`#${name}-error`, root) : null;
  const said = known ?? fallback;
  said.textContent = error.message;
  said.hidden = false;
  if (said.getAttribute("role") !== "alert") say(error.message);
  const field = known && $(`#${name}`, root);
  if (!field) return said.scrollIntoView({ block: "nearest" });
  field.closest("details")?.setAttribute("open", "");
  if (field.matches("input, select, textarea")) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", said.id);
  }
  (field.matches("input, select, textarea") ? field : $("input", field))?.focus();
}
