// Server-sent events read from a fetch, since EventSource cannot send the key's header.

/** Each event of a stream as {id, event, data}; comments, which keep the line open, are left out. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event.data) yield event;
      }
    }
  } finally {
    // Whoever stops listening frees one of the few connections that a browser has for a server.
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const event = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data") event.data += event.data ? `\n${value}` : value;
    else if (name in event) event[name] = value;
  }
  return event;
}
