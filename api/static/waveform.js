// The shape of the sound, which is also where it is at.

const RATE = 8000; // enough for a shape, and a sixth of the memory
const BARS = 2000;
const STEP_PX = 3;

/** The loudest sample of each of `BARS` parts of a file, between 0 and 1. */
export async function peaksOf(file) {
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const sound = await decoder.decodeAudioData(await file.arrayBuffer());
  const samples = sound.getChannelData(0);
  const peaks = new Float32Array(Math.min(BARS, samples.length));
  const width = samples.length / peaks.length;
  for (let bar = 0; bar < peaks.length; bar += 1) {
    const until = Math.floor((bar + 1) * width);
    for (let at = Math.floor(bar * width); at < until; at += 1) {
      peaks[bar] = Math.max(peaks[bar], Math.abs(samples[at]));
    }
  }
  const loudest = Math.max(...peaks, 1e-3);
  return peaks.map((peak) => peak / loudest);
}

/** Draws on a canvas: bars, or a plain line where there are no peaks. */
export function createWaveform(canvas) {
  let peaks = null;
  let done = 0;

  function draw() {
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    const sharp = devicePixelRatio;
    if (canvas.width !== Math.round(width * sharp)) canvas.width = Math.round(width * sharp);
    if (canvas.height !== Math.round(height * sharp)) canvas.height = Math.round(height * sharp);
    const paint = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    paint.setTransform(sharp, 0, 0, sharp, 0, 0);
    paint.clearRect(0, 0, width, height);
    const bars = Math.floor(width / STEP_PX);
    for (let bar = 0; bar < bars; bar += 1) {
      paint.fillStyle = style.getPropertyValue(bar / bars < done ? "--voice" : "--bar");
      const tall = peaks ? Math.max(2, tallest(bar, bars) * height) : 3;
      paint.fillRect(bar * STEP_PX, (height - tall) / 2, peaks ? STEP_PX - 1 : STEP_PX, tall);
    }
  }

  function tallest(bar, bars) {
    const from = Math.floor((bar * peaks.length) / bars);
    const until = Math.max(from + 1, Math.floor(((bar + 1) * peaks.length) / bars));
    return Math.max(...peaks.subarray(from, until));
  }

  new ResizeObserver(draw).observe(canvas);
  return {
    draw,
    set peaks(found) {
      peaks = found;
      draw();
    },
    set done(share) {
      done = share;
      draw();
    },
  };
}
