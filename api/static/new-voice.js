// A new voice: a recording, chosen or made here, its name, and that its speaker agrees.

import { $, say } from "./dom.js";
import { attempt } from "./errors.js";
import { createRecorder } from "./record.js";
import { sentence } from "./words.js";

/** `added(voice)` is called with each voice that the server keeps. */
export function startNewVoice({ api, limits, added }) {
  const file = $("#audio_sample");
  const add = $("#add-voice");
  const [name, said, consent] = [$("#name"), $("#ref_text"), $("#consent")];
  let recording = null; // what the microphone gave, instead of a file

  const recorder = createRecorder(limits.max_reference_s, (made) => {
    recording = made;
    file.value = "";
  });
  $("#recording").append(recorder.node);
  $("#audio_sample-hint").textContent =
    `A few clean seconds, up to ${limits.max_reference_s} s: WAV, FLAC, OGG or MP3.`;

  function filled() {
    const sample = recording ?? file.files[0];
    if (!sample) {
      throw Object.assign(new Error("Choose a recording first."), { param: "audio_sample" });
    }
    const body = new FormData();
    body.set("audio_sample", sample, sample.name);
    body.set("name", name.value);
    body.set("ref_text", said.value);
    if (consent.checked) body.set("consent", $("#agreed").textContent);
    return body;
  }

  async function upload() {
    const voice = await api.json("/v1/audio/voices", { method: "POST", body: filled() });
    clear();
    await added(voice);
    say(
      [`${voice.name} is ready.`, ...voice.warnings.map((each) => sentence(each.message))].join(
        " ",
      ),
    );
  }

  function forgetRecording() {
    recording = null;
    recorder.clear();
  }

  function clear() {
    forgetRecording();
    file.value = name.value = said.value = "";
    consent.checked = false;
    $("#new-voice").open = false;
  }

  async function press() {
    add.disabled = true;
    await attempt($("#voice_clone"), $("#clone-error"), upload);
    add.disabled = false;
  }

  file.addEventListener("change", forgetRecording);
  add.addEventListener("click", press);
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // which would send the form around it
    press();
  });
}
