"""From a text to what is heard of it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from client import Narrator
from client.local.stack import Stack
from tests.support.audio_files import pcm
from tests.support.page_object import Sheet
from tests.support.processes import wait_until

TEXT = "\n\n".join(["The lamp was lit.", "She sat down.", "Nobody spoke.", "Then it rained."])
BOOK = "The lamp was lit, and nobody spoke. " * 1_500
NAME = "The lamp was lit. She sat down. Nobody spoke. …"


@pytest.fixture(scope="module")
def spoken(stack: Stack) -> str:
    """A finished job of four sentences."""
    with Narrator(stack.url) as narrator:
        job = narrator.submit(TEXT, task="custom_voice", voice="vivian")
        return narrator.wait(job.id).id


@pytest.fixture
def done(sheet: Sheet, spoken: str) -> Locator:
    """Its row; it is being played."""
    row = sheet.row(spoken)
    sheet.listen(row)
    return row


def test_a_text_is_sent_and_followed_until_it_is_done(sheet: Sheet, page: Page) -> None:
    row = sheet.submit(TEXT)
    expect(row.get_by_role("heading")).to_have_text(NAME)
    expect(row.get_by_role("progressbar")).to_have_accessible_name(f"Progress of {NAME}")
    expect(row.locator(".state")).to_contain_text(re.compile("Reading · |Done · "))
    expect(row.locator(".state")).to_contain_text("Done · 0:")
    expect(row.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text(f"{NAME} is done")


@pytest.mark.usefixtures("done")
def test_the_text_follows_the_sound(sheet: Sheet) -> None:
    wait_until(lambda: sheet.at_s() > 0.3)
    expect(sheet.heard).to_have_text("The lamp was lit.")
    sheet.page.get_by_label("Speed").select_option("2")
    expect(sheet.heard).to_have_text("She sat down.")
    sheet.pause.click()
    expect(sheet.play).to_be_visible()
    sheet.page.wait_for_timeout(300)  # the browser may still say where it stopped
    stopped = sheet.at_s()
    sheet.page.wait_for_timeout(300)
    assert sheet.at_s() == stopped


def test_a_sentence_that_is_clicked_is_heard(sheet: Sheet, done: Locator, stack: Stack) -> None:
    url = f"{stack.url}/v1/jobs/{sheet.job_id(done)}/timings"
    last = httpx.get(url).json()["segments"][-1]
    sheet.page.get_by_role("button", name=last["text"], exact=True).click()
    expect(sheet.heard).to_have_text(last["text"])
    assert last["start_s"] - 0.1 <= sheet.at_s() <= last["end_s"]


@pytest.mark.usefixtures("done")
def test_the_keyboard_moves_in_the_sound(sheet: Sheet) -> None:
    sheet.pause.click()
    sheet.time.focus()
    sheet.page.keyboard.press("Home")
    expect(sheet.heard).to_have_text("The lamp was lit.")
    assert sheet.at_s() == 0
    length = float(sheet.time.get_attribute("max") or 0)
    sheet.page.keyboard.press("ArrowRight")
    wait_until(lambda: sheet.at_s() == pytest.approx(min(5, length), abs=0.05))
    sheet.page.keyboard.press("End")
    expect(sheet.heard).to_have_text("Then it rained.")
    expect(sheet.time).to_have_attribute("aria-valuetext", re.compile(r"^\d:\d\d of \d:\d\d$"))


def test_the_files_can_be_had(
    sheet: Sheet, done: Locator, narrator: Narrator, tmp_path: Path
) -> None:
    job = narrator.job(sheet.job_id(done))
    assert job.audio
    with sheet.page.expect_download() as download:
        sheet.page.get_by_role("link", name="WAV").click()
    assert download.value.suggested_filename == f"{job.id}.wav"
    download.value.save_as(tmp_path / "lamp.wav")
    assert len(pcm(tmp_path / "lamp.wav")) == round(job.audio.seconds * 24_000)
    with sheet.page.expect_download() as download:
        sheet.page.get_by_role("link", name="MP3").click()
    assert download.value.suggested_filename == f"{job.id}.mp3"
    assert Path(download.value.path()).read_bytes().startswith((b"ID3", b"\xff"))
    for name, begins in (("SRT", "1\n00:00:00,000 --> "), ("VTT", "WEBVTT"), ("Timings", "{")):
        with sheet.page.expect_download() as download:
            sheet.page.get_by_role("link", name=name).click()
        assert Path(download.value.path()).read_text().startswith(begins)


@pytest.mark.usefixtures("done")
def test_the_shape_of_the_sound_is_drawn(sheet: Sheet) -> None:
    heights = """(canvas) => {
        const { width, height } = canvas;
        const drawn = canvas.getContext("2d").getImageData(0, 0, width, height).data;
        return Array.from({ length: width }, (_, x) =>
            Array.from({ length: height }, (_, y) => drawn[4 * (y * width + x) + 3] > 0)
                .filter(Boolean).length);
    }"""
    canvas = sheet.page.locator("canvas")
    wait_until(lambda: len({tall for tall in canvas.evaluate(heights) if tall}) > 5)


def test_a_long_job_is_cancelled_and_deleted(sheet: Sheet, page: Page) -> None:
    row = sheet.submit(BOOK)
    expect(row.locator(".state")).to_contain_text(" segments")
    row.get_by_role("button", name="Cancel").click()
    expect(row.locator(".state")).to_contain_text("Cancelled")
    job_id = sheet.job_id(row)
    row.get_by_role("button", name="Delete").click()
    row.get_by_role("button", name="Delete for good?").click()
    expect(sheet.row(job_id)).to_have_count(0)
    page.reload()
    expect(page.get_by_role("list").locator(".ghost")).to_have_count(0)
    expect(sheet.row(job_id)).to_have_count(0)


def test_what_was_cancelled_is_sent_again(sheet: Sheet) -> None:
    row = sheet.submit(BOOK)
    row.get_by_role("button", name="Cancel").click()
    with sheet.page.expect_response("**/v1/jobs") as answer:
        row.get_by_role("button", name="Send again").click()
    again = sheet.row(answer.value.json()["id"])
    expect(again.locator(".state")).to_contain_text(" segments")
    again.get_by_role("button", name="Cancel").click()
    expect(again.locator(".state")).to_contain_text("Cancelled")


def test_jobs_from_elsewhere_are_listed_newest_first(
    page: Page, narrator: Narrator, sheet: Sheet
) -> None:
    sent = [
        narrator.submit(f"Elsewhere {n}.", task="custom_voice", voice="vivian", title=f"No. {n}").id
        for n in range(22)
    ]
    page.reload()
    rows = page.locator(".job")
    expect(rows).to_have_count(20)
    assert [row.get_attribute("data-id") for row in rows.all()] == sent[:1:-1]
    page.get_by_role("button", name="Show older jobs").click()
    expect(sheet.row(sent[0])).to_contain_text("No. 0")
    assert rows.nth(21).get_attribute("data-id") == sent[0]


@pytest.mark.refused
def test_a_job_is_followed_by_asking_where_events_do_not_come(sheet: Sheet, page: Page) -> None:
    page.route("**/events", lambda route: route.abort())
    row = sheet.submit(TEXT)
    expect(row.locator(".state")).to_contain_text("Done")
