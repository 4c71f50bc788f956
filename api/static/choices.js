// What can be chosen in the form, which depends on the task, the model and what is served.

import { $, el, fill, picked, radio, tiles } from "./dom.js";
import { short, spoken } from "./words.js";

const TASKS = [
  ["custom_voice", "A ready voice", "one of the model’s own"],
  ["voice_design", "A described voice", "made to your words"],
  ["voice_clone", "A cloned voice", "from a recording"],
];

/** `show` draws the choices anew; the rest says what is chosen. */
export function createChoices(form, catalogue) {
  $("#tasks").append(
    ...TASKS.map(([task, name, what]) =>
      radio("task", task, el("b", {}, name), el("small", {}, what)),
    ),
  );
  form.elements.task.value = "custom_voice";

  const task = () => form.elements.task.value;
  const voice = () => picked($("#voices"));
  const served = () => catalogue.models(task(), $("#model").value);

  function show() {
    for (const tile of form.querySelectorAll("[name=task]")) {
      tile.disabled = !catalogue.empty && !catalogue.models(tile.value).length;
    }
    const models = catalogue.models(task());
    fill($("#model"), [["", "Chosen for you"], ...models.map((model) => [model.id, named(model)])]);
    $("#model-field").hidden = models.length < 2;
    const hint = $("#model-hint");
    hint.hidden = !catalogue.empty && served().some((model) => model.workers);
    hint.textContent = "No worker has this model now: the job waits for one.";
    showPanels();
    showVoices();
    showLanguages();
  }

  function showPanels() {
    $("#custom_voice").hidden = task() !== "custom_voice";
    $("#voice_clone").hidden = task() !== "voice_clone";
    const follows = served().some((model) => model.instructions);
    $("#instructions-field").hidden =
      task() === "voice_clone" || (task() === "custom_voice" && !follows);
    const design = task() === "voice_design";
    $("#instructions-label").textContent = design ? "Who reads, and how" : "How it is read";
    $("#instructions").placeholder = design
      ? "An old sailor, hoarse and cheerful, in no hurry"
      : "Softly, as if somebody slept next door";
  }

  function showVoices() {
    const presets = catalogue.presets(catalogue.models("custom_voice", $("#model").value));
    tiles(
      $("#voices"),
      "voice",
      presets.map((each) => {
        const language = each.language && el("small", {}, spoken(each.language));
        return [each.id, el("b", {}, each.name), language];
      }),
    );
    const described = presets.find((each) => each.id === voice())?.description;
    $("#voice-description").textContent = described ?? "";
    $("#voice-description").hidden = !described;
  }

  function showLanguages() {
    const known = new Set(served().flatMap((model) => model.languages));
    known.delete("auto");
    const pairs = [...known].sort().map((language) => [language, spoken(language)]);
    fill($("#language"), [["auto", "As the text has it"], ...pairs]);
  }

  return { show, task, voice };
}

function named(model) {
  return model.workers ? short(model.id) : `${short(model.id)} (no worker now)`;
}
