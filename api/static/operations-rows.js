// Rows of the operator's page: lists that are made anew without losing the focus.

import { askTwice } from "./ask-twice.js";
import { el } from "./dom.js";

/**
 * Put rows into a list, and the focus back to the button that had it. A button that asks whether it is
 * meant keeps its list as it is: its row would go on without the question.
 */
export function renew(list, rows, none) {
  const held = list.contains(document.activeElement) ? document.activeElement : null;
  if (held?.dataset.sure) return;
  const shown = rows.length ? rows : [el("li", { class: "hint" }, none)];
  const open = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.id));
  list.replaceChildren(...shown);
  for (const details of list.querySelectorAll("details"))
    details.open = open.has(details.dataset.id);
  const again = held?.dataset.focus && list.querySelector(`[data-focus="${held.dataset.focus}"]`);
  if (again) again.focus();
  else if (held) list.querySelector("button")?.focus();
}

/** A row: its heading, lines of text and buttons. */
export function row(title, state, lines, buttons) {
  return el(
    "li",
    { class: "operated" },
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
  made.dataset.focus = CSS.escape(`${text} ${target}`);
  made.setAttribute("aria-label", `${text}: ${target}`);
  if (sure) askTwice(made, target, { text, sure });
  made.addEventListener("click", async () => {
    made.disabled = true;
    await does();
    made.disabled = false;
  });
  return made;
}
