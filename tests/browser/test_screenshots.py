"""`SCREENSHOTS=1`: pictures of the page with the demo voice, for the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from client import Narrator
from client.local.stack import Stack
from tests.support.page_object import Sheet
from tests.support.paths import ROOT

IMAGES = ROOT / "docs" / "images"
PARAGRAPHS = (ROOT / "examples" / "page.txt").read_text("utf-8").split("\n\n")
MOST_BYTES = 400_000
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True}
LOOKS = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": {**PHONE, "has_touch": True}}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that speaks with the demo voice."""
    data = tmp_path_factory.mktemp("pictures")
    with Stack(["demo"], data=data, port=0, logs_to_files=True) as stack:
        stack.wait_ready()
        yield stack


@pytest.fixture
def sheet(page: Page) -> Sheet:
    return Sheet(page, "Ada")


@pytest.fixture(scope="module", autouse=True)
def jobs(stack: Stack) -> None:
    """Two jobs that are done, and one that takes minutes."""
    with Narrator(stack.url) as narrator:
        for title, voice in (("A letter home", "alan"), ("Down the Rabbit-Hole", "ada")):
            text = "\n\n".join(PARAGRAPHS[:2])
            job = narrator.submit(text, task="custom_voice", voice=voice, title=title)
            narrator.wait(job.id)
        long = "\n\n".join(PARAGRAPHS * 20)
        narrator.submit(long, task="custom_voice", voice="alan", title="The whole book")


@pytest.mark.parametrize(
    "look",
    [pytest.param(name, marks=pytest.mark.visitor(**how)) for name, how in LOOKS.items()],
)
def test_it_is_a_picture(sheet: Sheet, page: Page, look: str) -> None:
    running = page.locator(".job").first
    expect(running.locator(".state")).to_contain_text(re.compile(r"\d\d of .* to go"))
    sheet.text.fill("\n\n".join(PARAGRAPHS[3:5]))
    sheet.text.blur()
    page.evaluate("scrollTo(0, 0)")
    take(page, f"page-write-{look}")
    sheet.listen(page.locator(".job", has_text="Down the Rabbit-Hole"))
    page.mouse.move(0, 0)
    expect(sheet.heard).to_contain_text("once or twice")
    page.evaluate("scrollTo(0, 0)")
    take(page, f"page-listen-{look}")


def take(page: Page, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size < MOST_BYTES
