// What operators did last.

import { $, el } from "./dom.js";
import { renew } from "./operations-rows.js";
import { when } from "./words.js";

/** The newest actions; `key` is empty on a server without keys. */
export function createAudit() {
  const said = ({ id, at, action, target, outcome, key }) =>
    el(
      "li",
      { class: "facts", "data-id": id },
      `${when(at)}: ${action} ${target}, ${outcome}${key ? `, by key ${key}` : ""}`,
    );
  return {
    show: ({ audit }) => renew($("#operations-audit"), audit.map(said), "Nothing yet."),
  };
}
