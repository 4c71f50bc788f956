// Playing a finished job: sound, waveform, text and files.

import { pathOf, urlOf } from "./api.js";
import { $, el, icon } from "./dom.js";
import { createReader } from "./reader.js";
import { createWaveform, peaksOf } from "./waveform.js";
import { called, clock } from "./words.js";

const LONGEST_WAVEFORM_S = 15 * 60;
const STEP_S = 5;
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];

/** `open(job)` loads a job and plays it; `repaint` is for when colours have changed. */
export function startPlayer({ api, save }) {
  const audio = new Audio();
  const title = el("h2", {});
  const play = el("button", { type: "button", class: "primary round play" });
  const line = el("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.01,
    value: 0,
    "aria-label": "Where it is at",
  });
  const canvas = el("canvas", { "aria-hidden": "true" });
  const now = el("span", { class: "now" });
  const whole = el("span", {});
  const speed = el(
    "select",
    { "aria-label": "Speed" },
    ...SPEEDS.map((each) =>
      el("option", { value: String(each), selected: each === 1 }, `${each} ×`),
    ),
  );
  const files = el("div", { class: "files" });
  const failed = el("p", { class: "error", role: "alert", hidden: true });
  const waveform = createWaveform(canvas);
  const reader = createReader((seconds) => {
    seek(seconds);
    start();
  });
  let length = 0;
  let opened = null;
  let source = "";

  $("#player").append(
    title,
    reader.node,
    failed,
    el(
      "div",
      { class: "deck" },
      play,
      el("div", { class: "wave" }, canvas, line),
      el("p", { class: "time" }, now, " / ", whole),
      speed,
    ),
    files,
  );

  async function open(job) {
    opened = job;
    $("#listen-empty").hidden = true;
    $("#player").hidden = false;
    audio.pause();
    failed.hidden = true;
    title.textContent = called(job);
    length = job.audio.seconds;
    line.max = length;
    whole.textContent = clock(length);
    waveform.peaks = null;
    show();
    files.replaceChildren(...save.links(job));
    play.focus();
    await Promise.all([load(job), read(job)]).catch(complain);
  }

  /** The sound, streamed, or fetched where a key has to go with it; and its shape. */
  async function load(job) {
    URL.revokeObjectURL(source);
    const shaped = length <= LONGEST_WAVEFORM_S;
    const path = pathOf(job, "content");
    const fetched = shaped || api.keyed ? api.blob(path) : null;
    source = api.keyed ? URL.createObjectURL(await fetched) : urlOf(path);
    if (opened !== job) return;
    audio.src = source;
    audio.playbackRate = Number(speed.value);
    start();
    // A format that this browser cannot decode for drawing may still play.
    if (shaped) waveform.peaks = await peaksOf(await fetched).catch(() => null);
  }

  async function read(job) {
    const timings = await api.json(pathOf(job, "timings"));
    if (opened !== job) return;
    reader.open(timings);
    show();
  }

  const start = () => audio.play().catch((error) => error.name === "AbortError" || complain(error));

  function seek(seconds) {
    audio.currentTime = Math.max(0, Math.min(seconds, length));
    show();
  }

  function complain(error) {
    failed.textContent = error.message;
    failed.hidden = false;
  }

  function show() {
    const at = Math.min(audio.currentTime, length);
    line.value = at;
    line.setAttribute("aria-valuetext", `${clock(at)} of ${clock(length)}`);
    now.textContent = clock(at);
    waveform.done = length ? at / length : 0;
    reader.follow(at);
  }

  function showState() {
    play.replaceChildren(icon(audio.paused ? "play" : "pause"));
    play.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    document.body.classList.toggle("playing", !audio.paused);
    if (!audio.paused) requestAnimationFrame(frame);
  }

  function frame() {
    if (audio.paused) return;
    show();
    requestAnimationFrame(frame);
  }

  play.addEventListener("click", () => (audio.paused ? start() : audio.pause()));
  line.addEventListener("input", () => seek(Number(line.value)));
  line.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    seek(audio.currentTime + step * STEP_S);
  });
  speed.addEventListener("change", () => {
    audio.playbackRate = Number(speed.value);
  });
  for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, showState);
  for (const name of ["timeupdate", "seeked"]) audio.addEventListener(name, show);
  audio.addEventListener(
    "error",
    () =>
      audio.src && complain(new Error("This browser cannot play the file; it can be downloaded.")),
  );
  showState();
  return { open, repaint: waveform.draw };
}
