// The text that is heard, sentence by sentence: it follows the sound, and leads it.

import { el } from "./dom.js";
import { clock } from "./words.js";

const MOST = 300; // A book has thousands of sentences; a part of them is on the page at a time.

/** `seek(seconds)` is called where a sentence was chosen. */
export function createReader(seek) {
  const parts = el("div", { class: "parts" });
  const text = el("div", { class: "text", role: "group" });
  text.setAttribute(
    "aria-label",
    "Text, by sentences: the arrow keys go from one to the next, Enter plays it",
  );
  const node = el("div", { class: "reader" }, parts, text);
  let segments = [];
  let chapters = [];
  let first = 0; // the first segment on the page
  let current = -1;

  const sentences = () => [...text.querySelectorAll(".sentence")];

  function open(timings) {
    ({ segments, chapters } = timings);
    current = -1;
    showChapters();
    show(0);
  }

  function showChapters() {
    parts.hidden = !chapters.length;
    parts.replaceChildren(
      ...chapters.map((chapter) => {
        const button = el(
          "button",
          { type: "button", class: "quiet" },
          chapter.title,
          el("small", {}, clock(chapter.start_s)),
        );
        button.addEventListener("click", () => seek(chapter.start_s));
        return button;
      }),
    );
  }

  /** Draw the sentences around one of them. */
  function show(index) {
    first = index - (index % MOST);
    const part = segments.slice(first, first + MOST);
    const paragraphs = [];
    part.forEach((segment, at) => {
      const before = part[at - 1];
      const gap = before ? segment.start_s - before.end_s : 1;
      if (gap > 0.55 || !paragraphs.length) paragraphs.push(el("p", {}));
      paragraphs.at(-1).append(sentence(segment, first + at), " ");
    });
    text.replaceChildren(...paragraphs);
    reach(sentences()[index - first]);
  }

  function sentence(segment, index) {
    const span = el(
      "span",
      { class: "sentence", role: "button", tabIndex: -1, "data-index": index },
      segment.text,
    );
    if (segment.truncated) span.title = "This one was cut at its longest length";
    return span;
  }

  /** The one sentence that Tab comes to; the arrow keys go on from there. */
  function reach(target) {
    for (const each of text.querySelectorAll("[tabindex='0']")) each.tabIndex = -1;
    if (target) target.tabIndex = 0;
  }

  /** Mark what is heard at a time; scrolls only within the text. */
  function follow(seconds) {
    const found = segments.findLastIndex((segment) => segment.start_s <= seconds + 0.02);
    if (found === current) return;
    current = found;
    if (found >= 0 && (found < first || found >= first + MOST)) show(found);
    for (const each of text.querySelectorAll("[aria-current]"))
      each.removeAttribute("aria-current");
    const target = sentences()[found - first];
    if (!target) return;
    target.setAttribute("aria-current", "true");
    if (!text.contains(document.activeElement)) reach(target);
    keepInView(target);
  }

  function keepInView(target) {
    const [outer, inner] = [text.getBoundingClientRect(), target.getBoundingClientRect()];
    if (inner.top >= outer.top && inner.bottom <= outer.bottom - outer.height / 5) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const top = text.scrollTop + inner.top - outer.top - outer.height / 4;
    text.scrollTo({ top, behavior: calm ? "auto" : "smooth" });
  }

  function choose(target) {
    const index = Number(target?.dataset.index ?? -1);
    if (index >= 0) seek(segments[index].start_s);
  }

  text.addEventListener("click", (event) => choose(event.target.closest(".sentence")));
  text.addEventListener("keydown", (event) => {
    const here = event.target.closest(".sentence");
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!here || (!step && !["Enter", " "].includes(event.key))) return;
    event.preventDefault();
    if (!step) return choose(here);
    const all = sentences();
    const target = all[all.indexOf(here) + step];
    if (!target) return;
    reach(target);
    target.focus();
  });
  return { node, open, follow };
}
