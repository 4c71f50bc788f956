"""That everybody can use the page: with any eyes, hands and screens."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from client import Narrator
from client.local.stack import Stack
from tests.support.audio_files import recording
from tests.support.page_object import Sheet
from tests.support.processes import wait_until

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
# WCAG 2.2 at level AA, and what axe counts as best practice.
SWEEP = """() => axe.run(document, { resultTypes: ["violations", "incomplete"] })"""
PHONE = {"width": 360, "height": 740}
HIT_PX = 40
# The text itself is exempt from the size of targets, and so is what is drawn as its label.
SMALL = """(least) => [...document.querySelectorAll(
        "button, a[href], input:not(.hidden), select, textarea, summary, .tile, label.button")]
    .map((node) => [node, node.getBoundingClientRect()])
    .filter(([node, box]) => box.width && node.checkVisibility() && !node.matches(".skip"))
    .map(([node, box]) => [node.matches(".check input") ? node.closest("label") : node, box])
    .map(([node]) => [node, node.getBoundingClientRect()])
    .filter(([, box]) => Math.min(box.width, box.height) < least)
    .map(([node, box]) => `${node.outerHTML.slice(0, 80)} ${box.width} x ${box.height}`)"""


def violations(page: Page) -> list[tuple[str, Any]]:
    """What axe finds wrong."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(SWEEP)["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")


def background(page: Page) -> tuple[int, ...]:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return tuple(int(part) for part in colour.strip("rgb()").split(","))


LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True},
}


@pytest.fixture(scope="module")
def spoken(stack: Stack) -> Iterator[str]:
    """A finished job; and there is a voice, of which much can be said."""
    with Narrator(stack.url) as narrator:
        job = narrator.submit(
            "The lamp was lit.\n\nShe sat down.", task="custom_voice", voice="vivian"
        )
        voice = narrator.add_voice(recording(2.0), name="Ada", consent="A machine made it")
        yield narrator.wait(job.id).id
        narrator.delete_voice(voice.id)


@pytest.mark.parametrize(
    "look",
    [pytest.param(name, marks=pytest.mark.visitor(**how)) for name, how in LOOKS.items()],
)
def test_each_view_is_accessible_and_fits(sheet: Sheet, page: Page, spoken: str, look: str) -> None:
    def check() -> None:
        # Colours that are on their way to others are no colours to be judged.
        running = "document.getAnimations().filter((one) => one.playState === 'running').length"
        wait_until(lambda: page.evaluate(running) == 0)
        # On a phone there is nothing else for axe to judge, only less room for it.
        assert look == "phone" or violations(page) == []
        assert page.evaluate(SMALL, HIT_PX) == []
        assert_fits(page)

    page.get_by_text("More", exact=True).click()
    page.locator("#queue summary").click()
    expect(page.locator("#queue-card")).to_be_visible()
    check()
    page.locator("#queue summary").click()
    page.get_by_text("A cloned voice").click()
    page.get_by_text("Add a voice", exact=True).click()
    expect(page.locator(".warning").first).to_be_visible()
    check()
    page.get_by_role("tab", name="Listen").click()
    check()
    sheet.listen(sheet.row(spoken))
    expect(sheet.heard).to_be_visible()
    check()
    assert (min(background(page)) < 40) == (look == "dark")


def test_the_colours_are_chosen_and_remembered(page: Page) -> None:
    assert min(background(page)) > 200
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert max(background(page)) < 40
    page.reload()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert max(background(page)) < 40


@pytest.mark.visitor(color_scheme="dark")
def test_a_dark_system_can_have_a_light_page(page: Page) -> None:
    assert max(background(page)) < 40
    page.get_by_role("button", name="Colours: as the system").click()
    assert min(background(page)) > 200


def test_the_keyboard_is_enough(sheet: Sheet, page: Page) -> None:
    keys = page.keyboard
    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to the jobs")).to_be_focused()

    def tab_to(name: str, within: int = 30) -> None:
        for _ in range(within):
            keys.press("Tab")
            focused = page.evaluate(
                "[document.activeElement.ariaLabel, document.activeElement.id,"
                " document.activeElement.textContent.trim()].join(' ')"
            )
            if name in focused:
                return
        raise AssertionError(f"Tab does not come to {name}")

    tab_to("tab-write")
    keys.press("ArrowRight")
    expect(page.get_by_role("tab", name="Listen")).to_be_focused()
    keys.press("ArrowLeft")
    tab_to("input")
    keys.type("The lamp was lit. ")
    with page.expect_response("**/v1/jobs") as answer:
        keys.press("Control+Enter")
    row = sheet.row(answer.value.json()["id"])
    expect(row.get_by_role("button", name="Listen")).to_be_visible()
    tab_to("Listen: The lamp was lit.")
    keys.press("Enter")
    expect(sheet.pause).to_be_focused()
    keys.press("Space")
    expect(sheet.play).to_be_focused()
    expect(sheet.heard).to_be_visible()
    keys.press("Shift+Tab")
    expect(page.locator(".sentence").first).to_be_focused()
    keys.press("Enter")
    expect(sheet.pause).to_be_visible()


@pytest.mark.visitor(reduced_motion="reduce")
def test_nothing_moves_for_whoever_wants_it_still(sheet: Sheet, page: Page) -> None:
    sheet.submit("The lamp was lit.")
    assert page.evaluate("document.getAnimations().length") == 0
