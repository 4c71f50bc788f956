// Voices made from recordings: choosing one, hearing and deleting it.

import { askTwice } from "./ask-twice.js";
import { $, el, icon, pick, picked, say, tiles } from "./dom.js";
import { attempt } from "./errors.js";
import { startNewVoice } from "./new-voice.js";
import { sentence, span, spoken } from "./words.js";

/** `show` draws the voices that the catalogue has; `voice` is the id of the one that is chosen. */
export function createClone({ api, catalogue, limits }) {
  const list = $("#cloned");
  const about = $("#about-cloned");
  const hearing = new Audio();
  const hear = button("", toggle);
  let chosen = null;

  function show() {
    const voices = catalogue.cloned();
    tiles(
      list,
      "cloned",
      voices.map((voice) => [voice.id, el("b", {}, voice.name), facts(voice)]),
    );
    if (!voices.length && !catalogue.empty) $("#new-voice").open = true;
    const before = chosen;
    chosen = voices.find((voice) => voice.id === picked(list)) ?? null;
    if (chosen?.id !== before?.id) describe(chosen);
  }

  /** What the server thinks of a voice, and what can be done with it. */
  function describe(voice) {
    hearing.pause();
    about.replaceChildren();
    if (!voice) return;
    const description = voice.description && el("p", { class: "hint" }, voice.description);
    const remove = askTwice(
      button("Delete", () => removeVoice(voice)),
      voice.name,
    );
    about.append(
      ...[description, ...voice.warnings.map(warning)].filter(Boolean),
      el("div", { class: "send" }, hear, remove),
    );
  }

  function button(text, action) {
    const node = el("button", { type: "button", class: "quiet" }, text);
    node.addEventListener("click", () => attempt($("#voice_clone"), $("#clone-error"), action));
    return node;
  }

  async function toggle() {
    if (!hearing.paused) return hearing.pause();
    URL.revokeObjectURL(hearing.src);
    hearing.src = URL.createObjectURL(await api.blob(`/v1/audio/voices/${chosen.id}/sample`));
    await hearing.play();
  }

  function showState() {
    const [drawing, text] = hearing.paused ? ["play", "Hear the recording"] : ["stop", "Stop"];
    hear.replaceChildren(icon(drawing), text);
  }

  async function removeVoice(voice) {
    await api.send(`/v1/audio/voices/${voice.id}`, { method: "DELETE" });
    say(`${voice.name} is deleted`);
    await catalogue.load();
    ($("input:checked", list) ?? $("#new-voice summary")).focus();
  }

  async function added(voice) {
    await catalogue.load();
    pick(list, voice.id);
    $("input:checked", list).dispatchEvent(new Event("change", { bubbles: true }));
    $("input:checked", list).focus();
  }

  for (const name of ["play", "pause"]) hearing.addEventListener(name, showState);
  showState();
  startNewVoice({ api, limits, added });
  return { show, voice: () => picked(list) };
}

function facts(voice) {
  const known = [span(voice.duration_s), voice.language && spoken(voice.language)];
  return el("small", {}, known.filter(Boolean).join(" · "));
}

const warning = ({ message }) =>
  el("p", { class: "warning" }, icon("warning"), el("span", {}, sentence(message)));
