"""A page of another origin in a real browser, which `TTS_CORS_ORIGINS` lets in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from playwright.sync_api import Browser, Page

from client.local.ports import free_port
from client.local.stack import Stack

# What the page does with a job: it submits one, follows it, and plays it.
JOB = """async (server) => {
    const accepted = await fetch(`${server}/v1/jobs`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
        body: JSON.stringify({ task: "custom_voice", voice: "vivian", input: "The lamp was lit." }),
    });
    const location = accepted.headers.get("Location");
    const types = [];
    await new Promise((resolve, reject) => {
        const source = new EventSource(`${server}${location}/events?events=message`);
        source.onmessage = ({ data }) => types.push(JSON.parse(data).type);
        source.onerror = () => source.readyState === EventSource.CLOSED && resolve();
        setTimeout(reject, 60_000);
    });
    const part = await fetch(`${server}${location}/content`, { headers: { Range: "bytes=0-3" } });
    const audio = new Audio();
    audio.crossOrigin = "anonymous";
    audio.src = `${server}${location}/content`;
    await new Promise((resolve, reject) => {
        audio.oncanplaythrough = resolve;
        audio.onerror = () => reject(audio.error);
    });
    const deleted = await fetch(server + location, { method: "DELETE" });
    return {
        types,
        part: [await part.text(), part.headers.get("Content-Range")],
        seconds: audio.duration,
        deleted: deleted.ok,
    };
}"""
SPEECH = """async ([server, voice]) => {
    const response = await fetch(`${server}/v1/audio/speech`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: "Bearer any" },
        body: JSON.stringify({ model: "tts-1", voice, input: "The lamp was lit." }),
    });
    if (!response.ok) return (await response.json()).error.param;
    const sound = await new AudioContext().decodeAudioData(await response.arrayBuffer());
    return [response.headers.get("x-job-id").slice(0, 4), sound.duration > 0.3];
}"""


class EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def page_of(browser: Browser, origin: str) -> Iterator[Page]:
    """An empty page of an origin of this machine."""
    with (
        ThreadingHTTPServer(("127.0.0.1", int(origin.rpartition(":")[2])), EmptyPage) as server,
        browser.new_context() as context,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        page = context.new_page()
        page.goto(f"{origin}/")
        yield page
        server.shutdown()


def test_a_listed_origin_uses_jobs(browser: Browser, page_origin: str, stack: Stack) -> None:
    with page_of(browser, page_origin) as page:
        told = page.evaluate(JOB, stack.url)
    assert told["types"][-1] == "job.completed"
    sent, content_range = told["part"]
    assert sent == "RIFF"
    assert content_range.startswith("bytes 0-3/")
    assert told["seconds"] > 0.3
    assert told["deleted"] is True


def test_a_listed_origin_speaks_at_once(browser: Browser, page_origin: str, stack: Stack) -> None:
    with page_of(browser, page_origin) as page:
        assert page.evaluate(SPEECH, [stack.url, "alloy"]) == ["job_", True]
        assert page.evaluate(SPEECH, [stack.url, "nobody"]) == "voice"


def test_another_origin_is_refused(browser: Browser, stack: Stack) -> None:
    with page_of(browser, f"http://localhost:{free_port()}") as page:
        called = page.evaluate(f"(given) => ({SPEECH})(given).catch(String)", [stack.url, "alloy"])
    assert called == "TypeError: Failed to fetch"
