"""The operator's page: failed jobs are retried, models paused, and everybody can use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from client.local.stack import Stack
from shared.jobs import SpeechSpec, Status, new_job_id
from shared.speech_model import Task
from shared.store.connection import connect
from shared.store.ledger import Ledger
from tests.browser.test_looks import HIT_PX, LOOKS, SMALL, assert_fits, violations
from tests.support.plain_segments import plain
from tests.support.processes import wait_until

GONE = "a-model-that-is-gone"
MODEL = "tiny-CustomVoice"


@pytest.fixture
def ledger(stack: Stack) -> Iterator[Ledger]:
    with connect(stack.redis.url) as redis:
        yield Ledger(redis, lease_s=60, max_attempts=3, worker="test")


@pytest.fixture
def failed(ledger: Ledger) -> Iterator[str]:
    """A job of no worker's model, whose only segment has failed."""
    job = fail(ledger, "synthesis_failed", "ValueError: poisoned")
    yield job
    ledger.cancel(job)
    ledger.forget(job)


@pytest.fixture
def operations(page: Page) -> Page:
    page.locator("#queue summary").click()
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Operations")).to_be_focused()
    return page


def row(page: Page, section: str, text: str) -> Locator:
    return page.get_by_role("region", name=section).get_by_role("listitem").filter(has_text=text)


def test_older_failures_stay_when_newer_ones_come(operations: Page, ledger: Ledger) -> None:
    jobs = [fail(ledger, "synthesis_failed", "ValueError: poisoned") for _ in range(12)]
    failures = operations.get_by_role("region", name="Failed jobs")
    expect(row(operations, "Failed jobs", jobs[2])).to_have_count(1)
    failures.get_by_role("button", name="Show older").click()
    expect(row(operations, "Failed jobs", jobs[0])).to_have_count(1)
    jobs += [fail(ledger, "synthesis_failed", "ValueError: poisoned") for _ in range(2)]
    for job in reversed(jobs):
        expect(row(operations, "Failed jobs", job)).to_have_count(1)
    for job in jobs:
        ledger.cancel(job)
        ledger.forget(job)


def test_a_failed_job_is_found_and_retried(operations: Page, failed: str, ledger: Ledger) -> None:
    job = row(operations, "Failed jobs", failed)
    expect(job).to_contain_text("synthesis_failed: ValueError: poisoned")
    job.get_by_text("Segment 0, 1 attempt").click()
    expect(job.get_by_text("A poisoned text.")).to_be_visible()
    job.get_by_role("button", name="Retry what is missing").click()
    expect(job).to_have_count(0)
    assert ledger.job(failed).status == Status.QUEUED
    expect(row(operations, "What operators did", f"retry {failed}, done")).to_be_visible()


def test_all_of_a_job_is_retried_after_a_second_press(
    operations: Page, failed: str, ledger: Ledger
) -> None:
    again = row(operations, "Failed jobs", failed).get_by_role("button", name="Retry all of it")
    again.click()
    sure = operations.get_by_role("button", name="Speak all of it anew?")
    operations.wait_for_timeout(2_500)  # longer than the page takes to look again
    expect(sure).to_be_focused()
    assert ledger.job(failed).status == Status.FAILED
    sure.click()
    wait_until(lambda: ledger.job(failed).status == Status.QUEUED)


def test_a_model_is_paused_and_a_worker_drained_by_keyboard(operations: Page) -> None:
    queue = row(operations, "Queues", MODEL)
    queue.get_by_role("button", name="Pause").press("Enter")
    expect(queue.locator(".badge")).to_have_text("Paused")
    queue.get_by_role("button", name="Resume").press("Enter")
    expect(queue.locator(".badge")).to_have_count(0)
    worker = row(operations, "Workers", MODEL)
    worker.get_by_role("button", name="Drain").press("Enter")
    expect(worker.locator(".badge")).to_have_text("Drained")
    worker.get_by_role("button", name="Claim again").press("Enter")
    expect(worker.locator(".badge")).to_have_text("Idle")


def test_the_focus_stays_when_the_page_looks_again(operations: Page, failed: str) -> None:
    job = row(operations, "Failed jobs", failed)
    job.locator("summary").focus()
    look_again(operations)
    expect(job.locator("summary")).to_be_focused()
    queue = row(operations, "Queues", MODEL)
    queue.get_by_role("button", name="Pause").press("Enter")
    expect(queue.get_by_role("button", name="Resume")).to_be_focused()
    operations.keyboard.press("Enter")
    expect(queue.get_by_role("button", name="Pause")).to_be_focused()
    job.get_by_role("button", name="Retry what is missing").press("Enter")
    expect(job).to_have_count(0)
    expect(operations.get_by_role("heading", name="Failed jobs")).to_be_focused()


def fail(ledger: Ledger, code: str, reason: str = "another fault") -> str:
    """A failed job of no worker's model."""
    job, spec = new_job_id(), SpeechSpec(task=Task.CUSTOM_VOICE, model=GONE)
    ledger.admit(job, spec, plain(["A poisoned text."]))
    held = ledger.claim(GONE)
    assert held is not None
    ledger.fail(held, code, reason)
    return job


def test_failed_jobs_are_chosen_by_their_reason(
    operations: Page, failed: str, ledger: Ledger
) -> None:
    other = fail(ledger, "fetch_failed")
    reason = operations.get_by_label("Reason")
    try:
        expect(row(operations, "Failed jobs", other)).to_be_visible()
        reason.select_option("fetch_failed")
        expect(row(operations, "Failed jobs", failed)).to_have_count(0)
        look_again(operations)
        expect(row(operations, "Failed jobs", other)).to_be_visible()
        expect(row(operations, "Failed jobs", failed)).to_have_count(0)
        reason.select_option("worker_lost")
        expect(operations.get_by_text("No job has failed for this reason.")).to_be_visible()
        reason.select_option("All reasons")
        expect(row(operations, "Failed jobs", failed)).to_be_visible()
    finally:
        ledger.forget(other)


def test_a_selected_text_stays_when_the_page_looks_again(
    operations: Page, failed: str, ledger: Ledger
) -> None:
    row(operations, "Failed jobs", failed).locator(".error").select_text()
    other = fail(ledger, "synthesis_failed")  # its row comes above the selected one
    try:
        expect(row(operations, "Failed jobs", other)).to_be_visible()
        look_again(operations)
        selected = operations.evaluate("getSelection().toString()")
        assert selected.strip() == "synthesis_failed: ValueError: poisoned"
    finally:
        ledger.forget(other)


def test_the_skip_link_stays_on_the_page(operations: Page) -> None:
    operations.get_by_role("link", name="Skip to the operations").press("Enter")
    expect(operations.get_by_role("heading", name="Workers")).to_be_visible()
    operations.keyboard.press("Tab")
    expect(operations.get_by_role("link", name="Back to the jobs")).to_be_focused()
    operations.keyboard.press("Enter")
    expect(operations.get_by_role("link", name="Skip to the jobs")).to_have_count(1)


@pytest.mark.refused
def test_a_refused_action_is_read_at_leisure(operations: Page, failed: str) -> None:
    said = '{"error": {"message": "its files were removed", "code": "conflict"}}'
    operations.route("**/retry", lambda route: route.fulfill(status=409, body=said))
    row(operations, "Failed jobs", failed).get_by_role("button", name="what is missing").click()
    alert = operations.get_by_role("alert").filter(has_text="its files were removed")
    expect(alert).to_be_visible()
    look_again(operations)
    expect(alert).to_be_visible()


def look_again(page: Page) -> None:
    """Wait until the page has asked twice, so that the first answer is shown."""
    for _ in range(2):
        with page.expect_response("**/v1/admin/audit*"):
            pass


def test_the_way_back_is_a_link(operations: Page) -> None:
    operations.get_by_role("link", name="Back to the jobs").click()
    expect(operations.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    expect(operations.get_by_role("heading", name="Operations")).to_be_hidden()
    operations.go_back()
    expect(operations.get_by_role("heading", name="Workers")).to_be_visible()


@pytest.mark.refused
def test_a_key_without_the_scope_is_told_so(page: Page) -> None:
    said = '{"error": {"message": "this key lacks the scope \'admin\'", "code": "forbidden"}}'
    page.route("**/v1/admin/**", lambda route: route.fulfill(status=403, body=said))
    page.goto("/#operations")
    expect(page.get_by_role("alert").filter(has_text="scope admin: narrate keys")).to_be_visible()
    expect(page.get_by_role("heading", name="Workers")).to_be_hidden()


@pytest.mark.parametrize(
    "look",
    [pytest.param(name, marks=pytest.mark.visitor(**how)) for name, how in LOOKS.items()],
)
def test_the_page_is_accessible_and_fits(operations: Page, failed: str, look: str) -> None:
    expect(row(operations, "Failed jobs", failed)).to_be_visible()
    expect(row(operations, "Workers", MODEL)).to_be_visible()
    assert look == "phone" or violations(operations) == []
    assert operations.evaluate(SMALL, HIT_PX) == []
    assert_fits(operations)
