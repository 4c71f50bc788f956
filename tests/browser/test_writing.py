"""Sending from the page, and the messages about what cannot be sent."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from client import Narrator
from client.local.stack import Stack
from tests.support.epub_files import MIMETYPE, NOVEL, make_epub
from tests.support.page_object import Sheet
from tests.support.processes import wait_until


def test_a_book_is_dropped_and_read(sheet: Sheet, page: Page) -> None:
    book = make_epub(NOVEL, title="The Lamp")
    sheet.drop("lamp.epub", MIMETYPE, book)
    expect(page.get_by_text("lamp.epub", exact=True)).to_be_visible()
    expect(sheet.text).to_be_hidden()
    row = sheet.sent()
    expect(row.get_by_role("heading")).to_have_text("The Lamp")
    sheet.listen(row)
    page.get_by_role("button", name="II. The Inn 0:").click()
    expect(sheet.heard).to_have_text("II. The Inn")


def test_the_chapters_of_a_book_can_be_chosen(sheet: Sheet, page: Page, stack: Stack) -> None:
    sheet.drop("lamp.epub", MIMETYPE, make_epub(NOVEL, title="The Lamp"))
    summary = page.locator("#sections summary")
    expect(summary).to_contain_text("4 of 4 sections")
    summary.click()
    page.get_by_label("II. The Inn").uncheck()
    expect(summary).to_contain_text("3 of 4 sections")
    told = httpx.get(f"{stack.url}/v1/jobs/{sheet.job_id(sheet.sent())}").json()
    assert [chapter["title"] for chapter in told["chapters"]] == ["I. The Road", "III. Home"]


def test_a_file_can_be_chosen_and_left_out(sheet: Sheet, page: Page) -> None:
    file = {"name": "lamp.md", "mimeType": "text/markdown", "buffer": b"# The Lamp\n\nIt was lit."}
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.locator("#chosen")).to_contain_text("lamp.md1 kB")
    page.get_by_role("button", name="Leave the file out").click()
    expect(sheet.text).to_be_focused()
    page.get_by_label("Choose a file").set_input_files(file)
    expect(sheet.sent().get_by_role("heading")).to_have_text("The Lamp")


def test_what_is_chosen_is_what_is_sent(
    sheet: Sheet, page: Page, narrator: Narrator, stack: Stack
) -> None:
    page.get_by_text("Sohee", exact=True).click()
    page.get_by_label("Language").select_option("korean")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("File format").select_option("mp3")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Title").fill("A lamp")
    job = narrator.wait(sheet.job_id(sheet.submit("The lamp was lit.")))
    told = httpx.get(f"{stack.url}/v1/jobs/{job.id}").json()
    names = ("task", "voice", "language", "title")
    assert [told[name] for name in names] == ["custom_voice", "sohee", "korean", "A lamp"]
    assert told["audio"]["format"] == "mp3"


def test_a_voice_is_described(sheet: Sheet, page: Page) -> None:
    page.get_by_text("A described voice").click()
    expect(page.get_by_role("radio", name="Vivian")).to_have_count(0)
    page.get_by_label("Who reads, and how").fill("An old sailor, hoarse and cheerful")
    row = sheet.submit("The lamp was lit.")
    expect(row.locator(".facts")).to_contain_text("Described voice · tiny-VoiceDesign")
    expect(row.locator(".state")).to_contain_text("Done")


def test_a_draft_is_kept(sheet: Sheet, page: Page) -> None:
    sheet.text.fill("Half a sentence")
    page.get_by_text("A described voice").click()
    page.get_by_label("Who reads, and how").fill("A child")
    wait_until(lambda: "A child" in (page.evaluate("localStorage.getItem('narrate.draft')") or ""))
    page.reload()
    expect(sheet.text).to_have_value("Half a sentence")
    expect(page.get_by_label("Who reads, and how")).to_have_value("A child")
    expect(page.get_by_text("15 of 5,000,000 characters")).to_be_visible()


@pytest.mark.refused
def test_the_servers_words_stand_beside_the_field(sheet: Sheet, page: Page) -> None:
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Seed").fill("seven")
    page.get_by_text("More", exact=True).click()
    sheet.text.fill("The lamp was lit.")
    said = sheet.refused()
    assert "integer" in said
    seed = page.get_by_label("Seed")
    expect(seed).to_be_focused()
    expect(seed).to_have_attribute("aria-invalid", "true")
    expect(seed).to_have_accessible_description(said)
    seed.fill("7")
    row = sheet.sent()
    expect(row).to_be_visible()
    expect(seed).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.refused
def test_a_file_of_another_kind_is_refused_in_the_servers_words(sheet: Sheet, page: Page) -> None:
    sheet.drop("lamp.pdf", "application/pdf", b"%PDF-1.7")
    expect(page.locator("#input-error")).to_have_text(sheet.refused())


def test_nothing_is_sent_where_nothing_is_written(sheet: Sheet) -> None:
    sheet.send.click()
    expect(sheet.text).to_be_focused()
    expect(sheet.text).to_have_accessible_description("Write something first, or choose a file.")


@pytest.mark.refused
def test_a_server_that_went_away_is_told_of_and_found_again(
    sheet: Sheet, page: Page, stack: Stack
) -> None:
    row = sheet.submit("The lamp was lit. " * 400)
    expect(row.locator(".state")).to_contain_text("Reading")
    stack.api.kill()
    wait_until(lambda: stack.api.exit_code is not None)
    banner = page.get_by_role("alert").filter(has_text="Jobs go on without this page")
    expect(banner).to_be_visible()
    sheet.text.fill("One more.")
    sheet.send.click()
    expect(page.locator("#form-error")).to_contain_text("What you wrote is kept")
    wait_until(lambda: not stack.restart_ended() and stack.api.exit_code is None)
    expect(banner).to_be_hidden()
    expect(row.locator(".state")).to_contain_text("segments")
    row.get_by_role("button", name="Cancel").click()
    expect(row.locator(".state")).to_contain_text("Cancelled")
    expect(sheet.sent()).to_contain_text("One more.")
