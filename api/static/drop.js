// A file can be dropped anywhere on the page.

import { $ } from "./dom.js";

/** `choose(file)` is called with what was dropped. */
export function startDrop(choose) {
  const veil = $("#drop");
  let depth = 0; // dragenter and dragleave come for each element on the way

  const isFile = (event) => event.dataTransfer?.types.includes("Files");

  function enter(event, step) {
    if (!isFile(event)) return;
    depth = Math.max(0, depth + step);
    veil.hidden = depth === 0;
  }

  document.addEventListener("dragenter", (event) => enter(event, 1));
  document.addEventListener("dragleave", (event) => enter(event, -1));
  document.addEventListener("dragover", (event) => isFile(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    // A recording may be dropped on its own field, which then has it.
    if (!isFile(event) || event.target.closest("[data-drop]")) return;
    event.preventDefault();
    choose(event.dataTransfer.files[0]);
  });
}
