"""A server that asks for keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from client.local.stack import Stack
from shared.store import api_keys as keys
from shared.store.connection import connect
from tests.support.audio_files import pcm
from tests.support.page_object import Sheet, visit
from tests.support.processes import wait_until

pytestmark = pytest.mark.refused


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service of its own: once it has a key, it never opens again."""
    data = tmp_path_factory.mktemp("closed")
    with Stack(["tiny-CustomVoice"], data=data, port=0, logs_to_files=True) as stack:
        stack.wait_ready(120)
        yield stack


@pytest.fixture(scope="module")
def visitor(browser: Browser, stack: Stack) -> Iterator[Page]:
    """The visitor of that service."""
    with visit(browser, stack) as page:
        yield page


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    """The token of the first key, which closes the service."""
    with connect(stack.redis.url) as redis:
        created = keys.ApiKeys(redis).create("page")[1]
    answers(stack, 401)
    return created


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
