"""What one does on the page, in its own words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from client.local.stack import Stack

DESKTOP = {"width": 1360, "height": 900}
WITHIN_MS = 20_000

DROP = """([name, type, content]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name, { type }));
    return carried;
}"""


@contextmanager
def visit(browser: Browser, stack: Stack, **options: Any) -> Iterator[Page]:
    """An empty page of a browser that was never here before."""
    options = {"viewport": DESKTOP, **options}
    with browser.new_context(base_url=stack.url, **options) as context:
        context.set_default_timeout(WITHIN_MS)
        yield context.new_page()


class Sheet:
    """The page as a visitor sees it who writes, follows and listens."""

    def __init__(self, page: Page, first_voice: str = "Vivian") -> None:
        self.page = page
        self.text = page.get_by_label("Text to speak")
        self.send = page.get_by_role("button", name="Read it aloud")
        self.time = page.get_by_label("Where it is at")
        self.play = page.get_by_role("button", name="Play", exact=True)
        self.pause = page.get_by_role("button", name="Pause", exact=True)
        self.heard = page.locator(".sentence[aria-current]")
        expect(page.get_by_role("radio", name=first_voice)).to_be_attached()

    def submit(self, text: str) -> Locator:
        """Send a text; returns its row, which is known by the job's id."""
        self.text.fill(text)
        return self.sent()

    def sent(self) -> Locator:
        """Send what is in the form; returns the row of the job."""
        with self.page.expect_response(
            lambda answer: answer.request.method == "POST" and answer.url.endswith("/v1/jobs")
        ) as answer:
            self.send.click()
        return self.row(answer.value.json()["id"])

    def refused(self) -> str:
        """Send what is in the form, which will not be taken; returns what the server says."""
        with self.page.expect_response("**/v1/jobs") as answer:
            self.send.click()
        assert not answer.value.ok
        message: str = answer.value.json()["error"]["message"]
        return message

    def row(self, job_id: str) -> Locator:
        """The row of a job."""
        return self.page.locator(f".job[data-id={job_id}]")

    def job_id(self, row: Locator) -> str:
        """The job of a row."""
        return row.get_attribute("data-id") or ""

    def listen(self, row: Locator) -> None:
        """Wait for a job's end, and play it."""
        row.get_by_role("button", name="Listen").click(timeout=60_000)
        expect(self.pause).to_be_visible()

    def drop(self, name: str, media_type: str, content: bytes) -> None:
        """Let a file fall onto the middle of the page."""
        file = [name, media_type, base64.b64encode(content).decode()]
        carried = self.page.evaluate_handle(DROP, file)
        for event in ("dragenter", "dragover", "drop"):
            self.page.dispatch_event("body", event, {"dataTransfer": carried})

    def at_s(self) -> float:
        """Where the player is at, in seconds."""
        return float(self.time.input_value())
