// The sections of the chosen file: which of them are read, and how long they are.

import { $, el } from "./dom.js";
import { plural, span } from "./words.js";

export function createSections(api) {
  const field = $("#sections");
  let asked = 0; // the number of the last request: the answer to an earlier one is dropped
  let usual = "";

  const boxes = () => [...field.querySelectorAll("input")];

  function chosen() {
    return boxes()
      .filter((box) => box.checked)
      .map((box) => box.value)
      .join(",");
  }

  function row(section) {
    const box = el("input", { type: "checkbox", value: section.number, checked: section.spoken });
    const title = section.title ?? section.kind.replaceAll("_", " ");
    const label = el("label", { class: "check" }, box, el("span", {}, title));
    return el("li", {}, label, el("small", {}, span(section.seconds)));
  }

  function total(sections) {
    const read = boxes().filter((box) => box.checked);
    const seconds = read.reduce((sum, box) => sum + sections[box.value - 1].seconds, 0);
    const count = `${read.length} of ${plural(sections.length, "section")}`;
    $("summary", field).textContent = `${count}, about ${span(seconds)}`;
  }

  function show({ title, author, sections, warnings }) {
    const about = [title, author].filter(Boolean).join(", ");
    const warned = warnings.map(({ message, where }) =>
      el("li", {}, where ? `${where}: ${message}` : message),
    );
    field.replaceChildren(
      el("summary", {}),
      about ? el("p", { class: "hint" }, about) : "",
      el("ol", {}, ...sections.map(row)),
      warned.length ? el("ul", { class: "hint" }, ...warned) : "",
    );
    field.onchange = () => total(sections);
    total(sections);
    usual = chosen();
    field.hidden = sections.length < 2 && !warned.length;
  }

  return {
    /** Ask for the sections of a file, or forget those of the one before. */
    async ask(file) {
      const mine = ++asked;
      field.hidden = true;
      field.replaceChildren();
      usual = "";
      if (!file) return;
      const body = new FormData();
      body.set("file", file);
      // A file that cannot be read is refused when it is sent, with the reason.
      const contents = await api.json("/v1/documents", { method: "POST", body }).catch(() => null);
      if (contents && mine === asked) show(contents);
    },
    /** The numbers for `chapters`, or "" where the usual ones are chosen. */
    get chapters() {
      const now = chosen();
      return now === usual ? "" : now || "0"; // none at all, which the server refuses
    },
  };
}
