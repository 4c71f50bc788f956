// What cannot be undone, such as deleting for good.

/** A button takes a second press to do what it does; to look elsewhere is to think better of it. */
export function askTwice(
  button,
  name,
  { text = "Delete", sure: question = "Delete for good?" } = {},
) {
  let meant = false;
  const ask = (sure) => {
    meant = sure;
    button.textContent = sure ? question : text;
    button.dataset.sure = sure ? "yes" : "";
    button.setAttribute("aria-label", `${button.textContent}${sure ? "" : ":"} ${name}`);
  };
  button.addEventListener(
    "click",
    (event) => {
      if (meant) return;
      event.stopImmediatePropagation();
      ask(true);
    },
    { capture: true },
  );
  button.addEventListener("blur", () => ask(false));
  ask(false);
  return button;
}
