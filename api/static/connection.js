// The banner that says that the server is away, and the asking whether it is back.

import { urlOf } from "./api.js";
import { $, el } from "./dom.js";

const ASK_MS = 2000;

/** Gives the function that hears how each request went; `back` is called at the first good one. */
export function watchConnection(back) {
  const banner = $("#banner");
  let away = false;

  async function ask() {
    if (!away) return;
    const answers = await fetch(urlOf("/healthz")).then(
      (answer) => answer.ok,
      () => false,
    );
    if (answers) heard(true);
    else setTimeout(ask, ASK_MS);
  }

  function heard(reached) {
    if (reached !== away) return;
    away = !reached;
    banner.hidden = reached;
    if (reached) return back();
    const why = "Jobs go on without this page; it looks for the server every two seconds.";
    banner.replaceChildren(el("strong", {}, "The server does not answer. "), why);
    setTimeout(ask, ASK_MS);
  }
  return heard;
}
