// The API key: kept in this browser, asked for when the server wants one.

import { $ } from "./dom.js";

const STORED = "narrate.key";

/** `value` is the key or "", `ask(why)` gives whether there is a new one; `changed` hears of it. */
export function createKey(changed) {
  const dialog = $("#key-dialog");
  const button = $("#key-button");
  let asking = null;
  let declined = false;

  const key = {
    get value() {
      return localStorage.getItem(STORED) ?? "";
    },
    /** One question at a time, however many requests were refused; a "not now" holds. */
    async ask(why) {
      button.hidden = false;
      if (declined) return false;
      asking ??= question(why).finally(() => {
        asking = null;
      });
      return asking;
    },
  };

  function question(why) {
    const said = $("#key-error");
    said.textContent = why;
    said.hidden = !why || !key.value;
    $("#key").value = "";
    $("#key-forget").hidden = !key.value;
    dialog.returnValue = "cancel";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(keep(dialog.returnValue)), { once: true });
    });
  }

  function keep(choice) {
    const typed = $("#key").value.trim();
    declined = choice === "cancel" || (choice === "use" && !typed);
    if (declined) return false;
    if (choice === "forget") localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, typed);
    return choice === "use";
  }

  button.hidden = !key.value;
  button.addEventListener("click", async () => {
    declined = false;
    await key.ask("");
    changed();
  });
  return key;
}
