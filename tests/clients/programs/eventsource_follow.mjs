// The package eventsource, with the names of events and with `onmessage`; its user types the URL.
import { EventSource } from "eventsource";

const [named, plain] = process.argv.slice(2);

function follow(url, listen) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const source = new EventSource(url);
    let opened = 0;
    source.onopen = () => (opened += 1);
    // The server ends the stream after the last event; the package asks again, and is told to stop.
    source.onerror = (event) => {
      if (source.readyState === EventSource.CLOSED) resolve({ seen, opened, code: event.code });
    };
    setTimeout(() => reject(new Error(`still open: ${url}, ${seen}`)), 60_000);
    listen(source, (event) => seen.push(event.type, JSON.parse(event.data).status));
  });
}

const statuses = ["queued", "in_progress", "completed", "failed", "cancelled"];
const followed = await follow(named, (source, note) => {
  for (const status of statuses) source.addEventListener(status, note);
});
const told = await follow(plain, (source, note) => {
  source.onmessage = note;
});
console.log(JSON.stringify({ followed, told }));
process.exit(0);
