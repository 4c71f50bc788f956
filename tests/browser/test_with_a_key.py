"""A server that asks for keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from audio_files import pcm
from playwright.sync_api import Page, expect
from processes import wait_until
from sheet import Sheet

from client.local.stack import Stack
from shared import keys
from shared.connection import connect

pytestmark = pytest.mark.refused


@pytest.fixture(scope="module")
def token(stack: Stack) -> Iterator[str]:
    """The token of the first key, which closes the server; it is open again after this module."""
    assert stack._redis
    with connect(stack._redis.url) as redis:
        created = keys.Keys(redis).create("page")[1]
        answers(stack, 401)
        yield created
        redis.delete(keys.TABLE)
        redis.incr(keys.VERSION)
        answers(stack, 200)


def answers(stack: Stack, status: int) -> None:
    """Wait until the server has seen that its keys are others."""
    wait_until(lambda: httpx.get(f"{stack.url}/v1/models").status_code == status)


def give(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="API key").fill(text)
    page.get_by_role("button", name="Use it").click()


def test_a_key_is_asked_for_and_goes_with_everything(
    token: str, page: Page, tmp_path: Path
) -> None:
    page.reload()
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    expect(dialog).to_be_visible()
    give(page, "tts_wrong_key")
    expect(dialog).to_contain_text("this key is not known here")
    give(page, token)
    expect(dialog).to_be_hidden()
    sheet = Sheet(page)
    row = sheet.submit("The lamp was lit.\n\nShe sat down.")
    sheet.listen(row)
    source = "performance.getEntriesByType('resource').map((one) => one.name).join(' ')"
    assert token not in page.evaluate(source)
    wait_until(lambda: sheet.at_s() > 0.1)
    expect(sheet.heard).to_have_text("The lamp was lit.")
    with page.expect_download() as download:
        page.get_by_role("link", name="WAV").click()
    download.value.save_as(tmp_path / "lamp.wav")
    assert len(pcm(tmp_path / "lamp.wav")) > 0
    page.reload()
    expect(sheet.row(sheet.job_id(page.locator(".job").first))).to_contain_text("The lamp was lit.")
    expect(dialog).to_be_hidden()


@pytest.mark.usefixtures("token")
def test_whoever_has_no_key_now_is_asked_once(page: Page) -> None:
    page.reload()
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    page.get_by_role("button", name="Not now").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#jobs-error")).to_contain_text("send a key")
    page.get_by_role("button", name="API key").click()
    expect(dialog).to_be_visible()
