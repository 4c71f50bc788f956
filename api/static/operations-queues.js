// The queues: what waits for each model; pause, resume, purge.

import { $ } from "./dom.js";
import { button, renew, row } from "./operations-rows.js";
import { count, plural, short, span, when } from "./words.js";

/** `act(path, told)` sends an action, and gives the answer, or null. */
export function createQueues(act) {
  function show({ queues }) {
    renew($("#operations-queues"), queues.map(queued), "No model was ever served.");
  }

  function queued(queue) {
    const {
      id,
      waiting,
      waiting_by_priority: by,
      running,
      oldest_s: oldest,
      paused_since: paused,
    } = queue;
    const path = `queues/${id.split("/").map(encodeURIComponent).join("/")}`;
    const name = short(id);
    const lines = [
      `${plural(waiting, "segment")} waiting, ${count(running)} spoken, ${plural(queue.workers, "worker")}`,
      waiting ? `High ${count(by.high)}, normal ${count(by.normal)}, low ${count(by.low)}` : "",
      waiting ? `The oldest waits for its turn for ${span(oldest)}` : "",
      paused ? `Paused ${when(paused)}` : "",
    ];
    const change = paused
      ? button("Resume", name, () => act(`${path}/resume`, `${name} is spoken again`))
      : button("Pause", name, () => act(`${path}/pause`, `${name} is paused`));
    const empty = button(
      "Cancel what waits",
      name,
      () => purge(path, name),
      "Cancel all jobs not begun?",
    );
    return row(id, name, paused ? "Paused" : "", lines, waiting ? [change, empty] : [change]);
  }

  async function purge(path, name) {
    let answer = null;
    do answer = await act(`${path}/purge`, `What waited for ${name} is cancelled`);
    while (answer?.left);
  }

  return { show };
}
