// The two sides of the sheet: write, and listen.

import { $ } from "./dom.js";

const NAMES = ["write", "listen"];

/** Gives `open(name)`. The arrow keys go from one tab to the other, as in any list of tabs. */
export function startTabs() {
  const tab = (name) => $(`#tab-${name}`);

  function open(name) {
    for (const each of NAMES) {
      const chosen = each === name;
      tab(each).setAttribute("aria-selected", String(chosen));
      tab(each).tabIndex = chosen ? 0 : -1;
      $(`#${each}`).hidden = !chosen;
    }
  }

  NAMES.forEach((name, at) => {
    const other = NAMES[1 - at];
    tab(name).addEventListener("click", () => open(name));
    tab(name).addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      open(other);
      tab(other).focus();
    });
  });
  return open;
}
