// Rows of the operator's page: lists that are brought up to date without losing the focus.

import { askTwice } from "./ask-twice.js";
import { $, el } from "./dom.js";
import { mergeRows } from "./merge.js";

const CONTROLS = "button, summary";

/**
 * Put rows into a list, and the focus back to the control of the row that had it, if that was
 * replaced or moved.
 * A button that asks for its second press keeps its list as it is: a new one would not have the question.
 */
export function renew(list, rows, none) {
  const held = list.contains(document.activeElement) ? document.activeElement : null;
  if (held?.dataset.sure) return;
  const place = held && placeOf(held);
  mergeRows(list, rows.length ? rows : [el("li", { class: "hint", "data-id": "" }, none)]);
  if (held && document.activeElement !== held) focusAt(list, place);
}

/** The id of the row that a control is in, and its number among the controls there. */
function placeOf(control) {
  const li = control.closest("li");
  return { id: li.dataset.id, at: [...li.querySelectorAll(CONTROLS)].indexOf(control) };
}

/** Focus a control by its place. If its row is gone, the heading: another row's would be pressed by mistake. */
function focusAt(list, { id, at }) {
  const li = [...list.children].find((one) => one.dataset.id === id);
  const control = li?.querySelectorAll(CONTROLS)[at];
  (control ?? $("h3", list.closest("section"))).focus();
}

/** A row: its id in its list, heading, lines of text and buttons. */
export function row(id, title, state, lines, buttons) {
  return el(
    "li",
    { class: "operated", "data-id": id },
    el("h4", {}, title, state ? el("span", { class: "badge" }, state) : null),
    ...lines
      .filter(Boolean)
      .map((line) => (line.nodeType ? line : el("p", { class: "facts" }, line))),
    buttons.length ? el("div", { class: "actions" }, ...buttons) : null,
  );
}

/** A button that does something to `target`; with `sure`, its second press does it. */
export function button(text, target, does, sure = "") {
  const made = el("button", { type: "button", class: sure ? "quiet" : "" }, text);
  made.setAttribute("aria-label", `${text}: ${target}`);
  if (sure) askTwice(made, target, { text, sure });
  made.addEventListener("click", async () => {
    if (made.ariaDisabled) return; // `disabled` would lose the focus
    made.ariaDisabled = "true";
    made.dataset.sure = "";
    await does();
    made.ariaDisabled = null;
  });
  return made;
}
