// Voices made from recordings: choosing one, adding one, hearing and deleting it.

import { createRecorder } from "./record.js";
import { $, el, icon, radio, say } from "./dom.js";
import { clearErrors, showError } from "./errors.js";
import { span, spoken } from "./words.js";

const error = (name) => el("p", { class: "error", id: `${name}-error`, hidden: true });

/** The part of the form that a cloned voice needs; `changed` when the voices are others. */
export function createClone({ api, catalogue, limits, changed }) {
  const list = el("div", { class: "voices", id: "cloned" });
  const about = el("div", { class: "about" });
  const hearing = new Audio();
  const file = el("input", { type: "file", id: "reference", accept: ".wav,.flac,.ogg,.mp3,audio/*" });
  const fields = {
    name: el("input", { id: "name", autocomplete: "off", maxLength: 100 }),
    ref_text: el("textarea", { id: "ref_text", rows: 2 }),
    consent: el("input", { id: "consent", type: "checkbox" }),
  };
  const failed = el("p", { class: "error", role: "alert", hidden: true });
  const add = el("button", { type: "button", id: "add-voice" }, "Add this voice");
  const more = el("details", { class: "more", id: "new-voice" });
  let recording = null; // what the microphone gave, instead of a file
  let chosen = "";
  let once = null; // a voice of this visit, on a server that keeps none

  const recorder = createRecorder(limits.max_reference_s, (made) => {
    recording = made;
    file.value = "";
  });
  file.addEventListener("change", () => {
    recording = null;
    recorder.clear();
  });

  const note = `A few clean seconds, up to ${limits.max_reference_s}: WAV, FLAC, OGG or MP3.`;
  more.append(
    el("summary", {}, "Add a voice"),
    el("div", { class: "row", "data-drop": "no" },
      el("div", { class: "field" },
        el("label", { htmlFor: "reference" }, "A recording of the voice"),
        el("div", { class: "beside" }, file, recorder.node),
        el("p", { class: "hint" }, note), error("reference")),
      el("div", { class: "field" }, el("label", { htmlFor: "name" }, "Name"), fields.name, error("name")),
      el("div", { class: "field" },
        el("label", { htmlFor: "ref_text" }, "What is said in it"), fields.ref_text,
        el("p", { class: "hint" }, "Word for word: the likeness is best with it."), error("ref_text")),
      el("div", { class: "field" },
        el("label", { class: "check" }, fields.consent, el("span", {}, "Whoever speaks here has agreed to this use of their voice.")),
        error("consent")),
      failed, el("div", { class: "send" }, add)),
  );
  $("#voice_clone").append(
    el("fieldset", { class: "field" }, el("legend", { class: "hidden" }, "Voice"), list, about),
    more, error("voice"),
  );

  function show() {
    const voices = [...catalogue.cloned(), ...(once ? [once] : [])];
    if (!voices.some((voice) => voice.id === chosen)) chosen = voices[0]?.id ?? "";
    list.replaceChildren(...voices.map((voice) => {
      const facts = [voice.duration_s && span(voice.duration_s), voice.language && spoken(voice.language)];
      const tile = radio("cloned", voice.id, el("b", {}, voice.name), el("small", {}, facts.filter(Boolean).join(" · ")));
      $("input", tile).checked = voice.id === chosen;
      return tile;
    }));
    if (!voices.length) more.open = true;
    describe(voices.find((voice) => voice.id === chosen));
  }

  /** What the server thinks of a voice, and what can be done with it. */
  function describe(voice) {
    about.replaceChildren();
    if (!voice) return;
    const kept = voice !== once;
    const hear = el("button", { type: "button", class: "quiet" }, icon("play"), "Hear the recording");
    hear.addEventListener("click", () => run(() => play(kept ? null : voice.sample, voice)));
    const remove = el("button", { type: "button", class: "quiet" }, "Delete this voice");
    remove.addEventListener("click", () => run(async () => {
      if (kept) await api.send(`/v1/audio/voices/${voice.id}`, { method: "DELETE" });
      else once = null;
      say(`${voice.name} is deleted`);
      await catalogue.load();
    }));
    about.append(...(voice.warnings ?? []).map(warning), el("div", { class: "send" }, hear, remove));
  }

  async function play(sample, voice) {
    URL.revokeObjectURL(hearing.src);
    const file = sample ?? (await api.blob(`/v1/audio/voices/${voice.id}/sample`));
    hearing.src = URL.createObjectURL(file);
    await hearing.play();
  }

  const warning = ({ message }) =>
    el("p", { class: "warning" }, icon("warning"), el("span", {}, message));

  async function run(action) {
    clearErrors($("#voice_clone"));
    try {
      await action();
    } catch (refused) {
      showError($("#voice_clone"), refused, failed);
    }
  }

  async function upload() {
    const sample = recording ?? file.files[0];
    if (!sample) throw Object.assign(new Error("Choose a recording first."), { param: "reference" });
    const voice = await kept(sample);
    chosen = voice.id;
    await catalogue.load();
    say([`${voice.name} is ready.`, ...(voice.warnings ?? []).map((each) => each.message)].join(" "));
    file.value = fields.name.value = fields.ref_text.value = "";
    fields.consent.checked = false;
    recording = null;
    recorder.clear();
    more.open = false;
    $("input:checked", list)?.focus();
  }

  /** The voice, kept by the server; or by this page, where the server has no place for voices. */
  async function kept(sample) {
    const body = new FormData();
    body.set("audio_sample", sample, sample.name);
    body.set("name", fields.name.value.trim());
    body.set("consent", String(fields.consent.checked));
    if (fields.ref_text.value.trim()) body.set("ref_text", fields.ref_text.value.trim());
    try {
      return await api.json("/v1/audio/voices", { method: "POST", body });
    } catch (refused) {
      if (![404, 405].includes(refused.status)) throw refused;
      if (!fields.consent.checked) {
        throw Object.assign(new Error("consent is needed for this"), { param: "consent" });
      }
      const reference = { audio: await base64(sample), text: body.get("ref_text") ?? undefined };
      once = { id: "once", name: body.get("name") || sample.name, sample, reference };
      return once;
    }
  }

  add.addEventListener("click", () => run(async () => {
    add.disabled = true;
    await upload().finally(() => (add.disabled = false));
  }));
  list.addEventListener("change", (event) => {
    chosen = event.target.value;
    show();
    changed();
  });

  return {
    show,
    fields: () => (once && chosen === once.id ? { reference: once.reference } : { voice: chosen }),
    /** Put the recording into a form, beside a file to read. */
    attach(form) {
      form.set("reference", once.sample);
      if (once.reference.text) form.set("reference_text", once.reference.text);
    },
  };
}

/** A file's bytes in base64. */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
