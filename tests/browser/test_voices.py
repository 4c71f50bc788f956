"""Voices made from recordings: added, heard, spoken with, deleted."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from client import Narrator
from client.local.stack import Stack
from tests.support.audio_files import recording
from tests.support.page_object import Sheet
from tests.support.processes import wait_until

SHORT_S = 2.0


@pytest.fixture(autouse=True)
def no_voices(narrator: Narrator) -> Iterator[None]:
    """Each test begins with a server that keeps none."""
    yield
    for voice in narrator.voices():
        if voice.kind == "cloned":
            narrator.delete_voice(voice.id)


def name(page: Page, called: str) -> None:
    page.get_by_text("A cloned voice").click()
    page.get_by_label("Name").fill(called)
    page.get_by_label("What is said in it").fill("The lamp was lit, and nobody spoke.")


def choose(page: Page) -> None:
    file = {"name": "voice.wav", "mimeType": "audio/wav", "buffer": recording(SHORT_S)}
    page.get_by_label("A recording of the voice").set_input_files(file)


def add(page: Page) -> None:
    page.get_by_role("button", name="Add this voice").click()


def test_a_voice_is_added_and_speaks_and_is_deleted(sheet: Sheet, page: Page, stack: Stack) -> None:
    name(page, "Ada")
    choose(page)
    page.get_by_label("has agreed").check()
    add(page)
    ada = page.get_by_role("radio", name="Ada")
    expect(ada).to_be_checked()
    expect(ada).to_be_focused()
    expect(page.locator("#about-cloned")).to_contain_text("It lasts 2.0 s: 5 to 15 s make a better")
    voice = httpx.get(f"{stack.url}/v1/audio/voices/Ada").json()
    assert voice["consent"] == "Whoever speaks here has agreed to this use of their voice."
    with page.expect_response(f"**/v1/audio/voices/{voice['id']}/sample"):
        page.get_by_role("button", name="Hear the recording").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Hear the recording")).to_be_visible()
    row = sheet.submit("The lamp was lit.")
    expect(row.locator(".facts")).to_contain_text("Ada · tiny-Base")
    expect(row.locator(".state")).to_contain_text("Done")
    page.get_by_role("button", name="Delete: Ada").click()
    page.get_by_role("button", name="Delete for good? Ada").click()
    expect(ada).to_have_count(0)
    expect(page.get_by_text("Add a voice", exact=True)).to_be_focused()


def test_a_voice_is_recorded_and_remembered(page: Page) -> None:
    name(page, "Grace")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("button", name="Stop (0:02)")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_label("Your recording")).to_be_visible()
    page.get_by_label("has agreed").check()
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("radio", name="Grace")).to_be_checked()
    draft = "localStorage.getItem('narrate.draft') ?? ''"
    wait_until(lambda: '"cloned":"voice_' in page.evaluate(draft))
    page.reload()
    expect(page.get_by_role("radio", name="Grace")).to_be_checked()


def test_a_file_is_read_by_a_cloned_voice(sheet: Sheet, page: Page) -> None:
    name(page, "Eve")
    choose(page)
    page.get_by_label("has agreed").check()
    add(page)
    expect(page.get_by_role("radio", name="Eve")).to_be_checked()
    sheet.drop("lamp.txt", "text/plain", b"The lamp was lit.")
    row = sheet.sent()
    expect(row.locator(".facts")).to_contain_text("Eve · tiny-Base")
    expect(row.locator(".state")).to_contain_text("Done")


@pytest.mark.refused
def test_a_voice_without_consent_is_refused_beside_the_box(page: Page) -> None:
    name(page, "Eve")
    choose(page)
    with page.expect_response("**/v1/audio/voices") as answer:
        add(page)
    box = page.get_by_label("has agreed")
    expect(box).to_be_focused()
    expect(box).to_have_accessible_description(answer.value.json()["error"]["message"])
    expect(page.locator("#consent-error")).to_contain_text("consent is missing")


def test_what_is_missing_is_said_before_anything_is_sent(sheet: Sheet, page: Page) -> None:
    name(page, "Eve")
    add(page)
    expect(page.locator("#audio_sample-error")).to_have_text("Choose a recording first.")
    sheet.text.fill("The lamp was lit.")
    sheet.send.click()
    expect(page.locator("#voice-error")).to_have_text("Add a voice first.")
