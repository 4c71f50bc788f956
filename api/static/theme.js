// Light, dark, or as the system has it: a button that goes round, and remembers.

import { $, icon } from "./dom.js";

const STORED = "narrate.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SAID = { auto: "as the system", light: "light", dark: "dark" };

/** `changed` is called when colours are others than before. */
export function startTheme(changed) {
  const button = $("#theme");
  let theme = localStorage.getItem(STORED) ?? "auto";

  function show() {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon(theme));
    button.setAttribute("aria-label", `Colours: ${SAID[theme]}. Change to ${SAID[NEXT[theme]]}`);
    button.title = `Colours: ${SAID[theme]}`;
    changed();
  }

  button.addEventListener("click", () => {
    theme = NEXT[theme];
    localStorage.setItem(STORED, theme);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show();
}
