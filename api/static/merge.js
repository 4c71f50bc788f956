// Bringing a list up to date: what has not changed stays, and with it the focus, a selected text and what is open.

/** Make the rows of a list like `rows`; a row is the one with its `data-id`. */
export function mergeRows(list, rows) {
  const shown = new Map([...list.children].map((row) => [row.dataset.id, row]));
  const wanted = new Set(rows.map((row) => row.dataset.id));
  // First, so that the rows between stay where they are: a row that is moved loses its selection.
  for (const [id, row] of shown) if (!wanted.has(id)) row.remove();
  rows.forEach((row, at) => {
    const old = shown.get(row.dataset.id);
    const node = old ? merge(old, row) : row;
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  });
}

/** Make a node like `fresh`, changing as little as possible; returns the node that is now in its place. */
function merge(node, fresh) {
  if (node.isEqualNode(fresh)) return node;
  if (node.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) {
    node.data = fresh.data;
    return node;
  }
  // A button is replaced: the old one would do what it did before.
  if (node.nodeName !== fresh.nodeName || node.nodeName === "BUTTON") {
    node.replaceWith(fresh);
    return fresh;
  }
  mergeAttributes(node, fresh);
  const [olds, news] = [[...node.childNodes], [...fresh.childNodes]];
  for (const [at, child] of news.entries()) {
    if (olds[at]) merge(olds[at], child);
    else node.append(child);
  }
  for (const child of olds.slice(news.length)) child.remove();
  return node;
}

function mergeAttributes(node, fresh) {
  for (const { name } of [...node.attributes]) {
    // The reader opened it.
    if (name !== "open" && !fresh.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) node.setAttribute(name, value);
}
