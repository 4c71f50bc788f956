// Numbers, times and names as they are written on the page.

const number = new Intl.NumberFormat("en");

export const count = (value) => number.format(value);
export const plural = (value, one, many = `${one}s`) =>
  `${count(value)} ${value === 1 ? one : many}`;

/** Seconds as a clock: 1:05, or 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, at) => (at ? String(part).padStart(2, "0") : part)).join(":");
}

/** Seconds as one would say them: 12 s, 4 min, 2 h 5 min. */
export function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long ago a Unix time was; the date where that was before today. */
export function when(unix) {
  const ago = Date.now() / 1000 - unix;
  if (ago < 60) return "just now";
  const date = new Date(unix * 1000);
  if (ago < 3600) return `${Math.floor(ago / 60)} min ago`;
  const today = new Date().toDateString() === date.toDateString();
  return today
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
}

/** `uncle_fu` as Uncle Fu. */
export const spoken = (name) =>
  name
    .split("_")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join(" ");

/** A remark of the server's, as a sentence begins. */
export const sentence = (remark) => remark.charAt(0).toUpperCase() + remark.slice(1);

/** A model's name without the part that all of them share. */
export const short = (model) => model.replace(/^.*Qwen3-TTS-12Hz-/, "");

/** What a job is called: its title, or how it begins. */
export const called = (job) =>
  job.title || job.metadata.opening || job.id.replace(/^job_(.{8}).*/, "Job $1");

/** Bytes, as sizes of files are given. */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
