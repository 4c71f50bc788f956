// A recording from the microphone, as a WAV: what browsers record is not what the server reads.

import { el, icon, say } from "./dom.js";
import { wav } from "./wav.js";
import { clock } from "./words.js";

const RATE = 24_000;

/** A button that records for `longest_s` at the most; `made(file)` is called with each recording. */
export function createRecorder(longest_s, made) {
  const button = el("button", { type: "button", class: "quiet" });
  const node = el("div", { class: "recorder" }, button);
  let recorder = null;
  let heard = null;
  let timer = 0;

  function show(drawing, text) {
    button.replaceChildren(icon(drawing), text);
  }

  function clear() {
    heard?.remove();
    heard = null;
  }

  async function start() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const pieces = [];
    recorder = new MediaRecorder(stream);
    recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
    recorder.addEventListener("stop", () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      recorder = null;
      show("record", "Record again");
      keep(new Blob(pieces));
    });
    recorder.start();
    const began = Date.now();
    const tick = () => {
      const seconds = (Date.now() - began) / 1000;
      show("stop", `Stop (${clock(seconds)})`);
      if (seconds >= longest_s) recorder?.stop();
    };
    tick();
    timer = setInterval(tick, 250);
    say("Recording");
  }

  async function keep(recorded) {
    const decoder = new OfflineAudioContext(1, 1, RATE);
    const sound = await decoder.decodeAudioData(await recorded.arrayBuffer());
    const file = new File([wav(sound.getChannelData(0), RATE)], "recording.wav", {
      type: "audio/wav",
    });
    clear();
    heard = el("audio", { controls: true, src: URL.createObjectURL(file) });
    heard.setAttribute("aria-label", "Your recording");
    node.append(heard);
    say("Recorded");
    made(file);
  }

  button.addEventListener("click", () => {
    if (recorder) return recorder.stop();
    clear();
    start().catch(() => show("record", "The microphone cannot be used"));
  });
  show("record", "Record");
  // Browsers give the microphone to HTTPS and to this machine only.
  node.hidden = !navigator.mediaDevices || !window.MediaRecorder;
  return { node, clear };
}
