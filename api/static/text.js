// What is to be read: a text that is written here, or a file, chosen or dropped anywhere.

import { $, el, icon, say } from "./dom.js";
import { count, size } from "./words.js";

const OPENING_WORDS = 9;
const OPENING_CHARS = 80; // for scripts that write no spaces

/** `file` is the chosen file or null; `changed` hears of every other text, `picked` of each file. */
export function createText(limits, changed, picked) {
  const area = $("#input");
  let file = null;

  function choose(chosen) {
    file = chosen;
    area.hidden = Boolean(file);
    $("#chosen").hidden = !file;
    if (file) {
      const away = el(
        "button",
        { type: "button", class: "quiet round", "aria-label": "Leave the file out" },
        icon("close"),
      );
      away.addEventListener("click", () => {
        choose(null);
        area.focus();
      });
      const told = el("span", {}, el("b", {}, file.name), el("small", {}, size(file.size)));
      $("#chosen").replaceChildren(icon("file"), told, away);
      say(`${file.name} is chosen`);
    }
    $("#file").value = "";
    show();
    picked(file);
    changed();
  }

  function show() {
    const [said, most] = [area.value.length, limits.max_input_chars];
    $("#count").textContent = file
      ? `Up to ${size(limits.max_body_bytes)}`
      : `${count(said)} of ${count(most)} characters`;
    $("#count").classList.toggle("over", !file && said > most);
  }

  area.addEventListener("input", () => {
    show();
    changed();
  });
  $("#file").addEventListener("change", (event) => choose(event.target.files[0] ?? null));

  return {
    show,
    choose,
    get file() {
      return file;
    },
    /** How the text begins, to know its job by. */
    get opening() {
      if (file) return file.name.slice(0, 120);
      const words = area.value.trim().split(/\s+/);
      const line = words.slice(0, OPENING_WORDS).join(" ").slice(0, OPENING_CHARS);
      return words.length > OPENING_WORDS || line.length === OPENING_CHARS ? `${line} …` : line;
    },
  };
}
