"""`make page`: the page in a real browser, against the real service with tiny models."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect

from client import Narrator
from client.local.stack import Stack
from tests.support.chromium import browser
from tests.support.page_object import WITHIN_MS, Sheet, visit
from tests.support.service_stack import cache_folder, stack

__all__ = ["browser", "cache_folder", "stack"]  # fixtures
# What the browser itself says of each answer that is no success, and of each that does not come.
REFUSED = "Failed to load resource"
expect.set_options(timeout=WITHIN_MS)

if not os.environ.get("SCREENSHOTS"):
    collect_ignore = ["test_screenshots.py"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "refused: the server refuses something in this test")
    config.addinivalue_line("markers", "visitor(**options): the browser that a test wants")


@pytest.fixture(scope="session")
def visitor(browser: Browser, stack: Stack) -> Iterator[Page]:
    """Whom most tests share: what was loaded once is not loaded again."""
    with visit(browser, stack) as page:
        yield page


@pytest.fixture
def visited(
    browser: Browser, stack: Stack, visitor: Page, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """The visitor, who has forgotten everything, or one of a test's own."""
    if marker := request.node.get_closest_marker("visitor"):
        with visit(browser, stack, **marker.kwargs) as page:
            yield page
        return
    yield visitor
    visitor.unroute_all()
    visitor.goto("about:blank")
    store = {"origin": stack.url, "storageTypes": "local_storage"}
    visitor.context.new_cdp_session(visitor).send("Storage.clearDataForOrigin", store)


@pytest.fixture
def page(visited: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, which may complain of nothing."""
    complaints: list[str] = []
    is_refused = request.node.get_closest_marker("refused") is not None

    def heard(message: ConsoleMessage) -> None:
        expected = is_refused and message.text.startswith(REFUSED)
        if message.type in ("error", "warning") and not expected:
            complaints.append(f"{message.text} ({message.location})")

    def failed(error: Error) -> None:
        complaints.append(str(error))

    visited.on("console", heard)
    visited.on("pageerror", failed)
    visited.goto("/")
    yield visited
    visited.remove_listener("console", heard)
    visited.remove_listener("pageerror", failed)
    assert complaints == []


@pytest.fixture
def sheet(page: Page) -> Sheet:
    return Sheet(page)


@pytest.fixture
def narrator(stack: Stack) -> Iterator[Narrator]:
    with Narrator(stack.url) as narrator:
        yield narrator
