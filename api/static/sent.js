// What was sent from here, so that a job that failed can be sent once more.

const STORED = "narrate.sent";
const MOST = 20;
const LONGEST = 50_000;

/** `keep` a request by its job's id; `request` gives it back, or undefined. Files for this visit. */
export function createSent() {
  const files = new Map();
  const kept = JSON.parse(localStorage.getItem(STORED) ?? "[]");

  return {
    keep(id, request) {
      if (!request.json || JSON.stringify(request).length > LONGEST) return files.set(id, request);
      kept.unshift([id, request]);
      kept.length = Math.min(kept.length, MOST);
      try {
        localStorage.setItem(STORED, JSON.stringify(kept));
      } catch {
        // It is kept for this visit all the same.
      }
    },
    request: (id) => files.get(id) ?? kept.find(([known]) => known === id)?.[1],
  };
}
