// Puts the page together: each part is made here, once, and told of the others.

import { createApi } from "./api.js";
import { createCatalogue } from "./catalogue.js";
import { createClone } from "./clone.js";
import { watchConnection } from "./connection.js";
import { startDrop } from "./drop.js";
import { startForm } from "./form.js";
import { startJobs } from "./jobs.js";
import { createKey } from "./key.js";
import { startOperations } from "./operations.js";
import { startPlayer } from "./player.js";
import { startQueue } from "./queue.js";
import { createSave } from "./save.js";
import { createSent } from "./sent.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";

const key = createKey(refresh);
const reachable = watchConnection(refresh);
const api = createApi(key, reachable);
const openTab = startTabs();
const player = startPlayer({ api, save: createSave(api) });
const sent = createSent();
const jobs = startJobs({ api, sent, listen });
const catalogue = createCatalogue(api, () => form?.show());
let form = null;

startTheme(player.repaint);
startQueue(api);
startOperations(api);
start();

async function start() {
  const limits = await api.json("/static/limits.json");
  const clone = createClone({ api, catalogue, limits });
  form = startForm({ api, catalogue, limits, clone, sent: jobs.add });
  startDrop((file) => {
    openTab("write");
    form.choose(file);
  });
  form.show();
  refresh();
}

function refresh() {
  if (!form) return start();
  catalogue.load().catch(() => {});
  jobs.load();
}

function listen(job) {
  openTab("listen");
  return player.open(job);
}
