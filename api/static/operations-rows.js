// Rows of the operator's page: lists that are made anew without losing the focus.

import { askTwice } from "./ask-twice.js";
import { $, el } from "./dom.js";

const CONTROLS = "button, summary";

/**
 * Put rows into a list, and the focus back to the control of the row that had it. A button that asks
 * for its second press keeps its list as it is: a new row would not have the question.
 */
export function renew(list, rows, none) {
  const held = list.contains(document.activeElement) ? document.activeElement : null;
  if (held?.dataset.sure) return;
  const place = held && placeOf(held);
  const shown = rows.length ? rows : [el("li", { class: "hint" }, none)];
  const open = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.id));
  list.replaceChildren(...shown);
  for (const details of list.querySelectorAll("details"))
    details.open = open.has(details.dataset.id);
  if (place) focusAt(list, place);
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
