// Making and finding elements, and where the server is. Texts come in as text only: nothing here reads markup.

export const $ = (selector, root = document) => root.querySelector(selector);

/** The path of the URL that ends before our own paths: "/", or "/tts/" behind a proxy. */
export const BASE = new URL("..", import.meta.url).pathname;

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (`class`, `data-…`, `aria-…` and `role` as attributes) and children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && !name.includes("-")) node[name] = value;
    else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the drawings in icons.svg; what it means is said in words beside it. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${BASE}static/icons.svg#${name}`);
  drawing.append(use);
  return drawing;
}

/** Say something to a screen reader. */
export function say(text) {
  $("#told").textContent = text;
}

/** A radio button that looks like a tile, with its label. */
export function radio(group, value, ...content) {
  const input = el("input", { type: "radio", name: group, value, class: "hidden" });
  return el("label", { class: "tile" }, input, el("span", {}, ...content));
}

/** Which tile of a group is chosen, or "". */
export const picked = (group) => $("input:checked", group)?.value ?? "";

/** Choose the tile of that value, if there is one. */
export function pick(group, value) {
  for (const tile of group.querySelectorAll("input")) tile.checked ||= tile.value === value;
}

/** Fill a group with tiles, [value, …content] each; one of them is always chosen. */
export function tiles(group, name, choices) {
  const values = choices.map(([value]) => value);
  if (group.dataset.values === values.join(" ")) return; // else the focus would be lost
  group.dataset.values = values.join(" ");
  const chosen = picked(group);
  group.replaceChildren(...choices.map(([value, ...content]) => radio(name, value, ...content)));
  pick(group, values.includes(chosen) ? chosen : values[0]);
}

/** Fill a select with [value, text] pairs, and keep what is chosen where it is still there. */
export function fill(select, pairs) {
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}
