// What is served: models, and the voices that they have.

const ASK_AGAIN_MS = 4000;

/** Which models there are for each task, and who can be heard; `changed` after each `load`. */
export function createCatalogue(api, changed) {
  let models = [];
  let voices = [];
  let timer = 0;

  /** Ask the server; where no worker has ever started, again in a while. */
  async function load() {
    clearTimeout(timer);
    try {
      [models, voices] = await Promise.all([
        api.json("/v1/models").then((list) => list.data.filter((model) => !model.alias_of)),
        api.json("/v1/audio/voices").then((list) => list.data),
      ]);
    } finally {
      if (!models.length) timer = setTimeout(() => load().catch(() => {}), ASK_AGAIN_MS);
      changed();
    }
  }

  const serves = (voice, chosen) =>
    chosen.some((model) => (voice.models ?? [voice.model]).includes(model.id));

  return {
    load,
    /** The models that can do a task, or the one of them that was chosen. */
    models: (task, id = "") =>
      models.filter((model) => model.task === task && (!id || model.id === id)),
    /** The voices that these models have of their own, each once. */
    presets(chosen) {
      const found = voices.filter((voice) => voice.kind !== "cloned" && serves(voice, chosen));
      return [...new Map(found.map((voice) => [voice.id, voice])).values()];
    },
    cloned: () => voices.filter((voice) => voice.kind === "cloned"),
    get empty() {
      return !models.length;
    },
  };
}
