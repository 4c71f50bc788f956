// The operator's page, at #operations: workers, queues, failed jobs, and what was done.

import { $, el, say } from "./dom.js";
import { createAudit } from "./operations-audit.js";
import { createFailed } from "./operations-failed.js";
import { createQueues } from "./operations-queues.js";
import { createWorkers } from "./operations-workers.js";

const ASK_MS = 2000;
const HASH = "#operations";
const LACKS = "It takes a key with the scope admin: narrate keys create NAME --scopes read,admin";

/** Shows the page while the URL ends with #operations, and looks again every two seconds while the page is visible. */
export function startOperations(api) {
  const page = $("#operations");
  const problem = $("#operations-error");
  const parts = [
    createWorkers(act),
    createQueues(act),
    createFailed(act, complain, api),
    createAudit(),
  ];
  let timer = null;

  /** Do something at a path under /v1/admin, say that it was done, and look at what has changed. */
  async function act(path, told, method = "POST") {
    problem.hidden = true;
    try {
      const answer = await api.json(`/v1/admin/${path}`, { method });
      say(told);
      await look().catch(lookFailed);
      return answer;
    } catch (error) {
      complain(error);
      return null;
    }
  }

  /** Show an error: that of a look until the next one goes well, others until the next action. */
  function complain(error, of = "action") {
    problem.dataset.of = of;
    const lacks = error.status === 403 && error.message.includes("scope");
    problem.textContent = lacks ? `${error.message}. ${LACKS}` : error.message;
    problem.hidden = false;
    $("#operations-parts").hidden = error.status === 401 || error.status === 403;
  }

  const lookFailed = (error) => complain(error, "look");

  async function look() {
    const overview = await api.json("/v1/admin/overview");
    const audit = await api.json("/v1/admin/audit?limit=20");
    if (problem.dataset.of === "look") problem.hidden = true;
    $("#operations-parts").hidden = false;
    $("#operations-facts").replaceChildren(...facts(overview));
    for (const part of parts) await part.show({ ...overview, audit: audit.data });
  }

  async function every() {
    clearTimeout(timer);
    if (page.hidden) return;
    if (!document.hidden) await look().catch(lookFailed);
    timer = setTimeout(every, ASK_MS);
  }

  function route() {
    const wanted = location.hash === HASH;
    if (page.hidden !== wanted) return;
    page.hidden = !wanted;
    $("#narrate").hidden = wanted;
    const skip = $("#skip"); // any other fragment would leave the page
    skip.textContent = wanted ? "Skip to the operations" : "Skip to the jobs";
    skip.hash = wanted ? HASH : "#jobs-heading";
    document.title = wanted ? "Operations – Narrate" : "Narrate";
    if (!wanted) return;
    $("#queue").open = false;
    $("#operations-heading").focus();
    every();
  }

  addEventListener("hashchange", route);
  route();
}

function facts(overview) {
  const speed = overview.audio_seconds_per_second;
  const pairs = [
    ["Jobs open", overview.jobs_open],
    ["Segments in a minute", Math.round(overview.segments_per_minute)],
    ["Speed", speed ? `${speed.toFixed(speed < 10 ? 2 : 0)} × real time` : "–"],
    ["Webhooks given up", overview.failed_webhooks],
  ];
  return pairs.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, `${value}`)));
}
