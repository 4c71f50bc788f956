// Downloads: a plain link, or, where a key has to go with it, a fetch that ends in one.

import { pathOf, urlOf } from "./api.js";
import { el } from "./dom.js";
import { size } from "./words.js";

/** `links(job)` gives the links to all files of a finished job. */
export function createSave(api) {
  function link(text, path, name) {
    const url = urlOf(path);
    const node = el("a", { href: url, download: name, class: "button quiet" }, text);
    node.addEventListener("click", async (event) => {
      if (!api.keyed || node.href.startsWith("blob:")) return;
      event.preventDefault();
      node.href = URL.createObjectURL(await api.blob(path));
      node.click();
      URL.revokeObjectURL(node.href);
      node.href = url;
    });
    return node;
  }

  return {
    links(job) {
      const { format, bytes } = job.audio;
      const content = pathOf(job, "content");
      const subtitles = pathOf(job, "subtitles");
      // Of long audio, the server makes no other format.
      const other = format === "mp3" ? "wav" : "mp3";
      const others = job.audio.seconds > 3600 ? [] : [other];
      return [
        link(`${format.toUpperCase()}, ${size(bytes)}`, content, `${job.id}.${format}`),
        ...others.map((kind) =>
          link(kind.toUpperCase(), `${content}?format=${kind}`, `${job.id}.${kind}`),
        ),
        link("SRT subtitles", `${subtitles}?format=srt`, `${job.id}.srt`),
        link("VTT subtitles", `${subtitles}?format=vtt`, `${job.id}.vtt`),
        link("Timings", pathOf(job, "timings"), `${job.id}.json`),
      ];
    },
  };
}
