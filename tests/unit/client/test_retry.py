"""Backoff and retries of the client."""

from __future__ import annotations

from itertools import islice

import pytest

from client import retry as module
from client.errors import NarrateError, ServerUnreachable
from client.retry import backoff, retry


def test_pauses_double_up_to_the_longest() -> None:
    assert list(islice(backoff(1, 5), 5)) == [1, 2, 4, 5, 5]


def test_a_first_pause_above_the_longest_is_kept() -> None:
    assert list(islice(backoff(9, 5), 2)) == [9, 9]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of `retry`, none of which is waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    return pauses


def test_a_transient_error_is_retried_with_growing_pauses(slept: list[float]) -> None:
    errors = [ServerUnreachable("away") for _ in range(6)]

    def call() -> str:
        if errors:
            raise errors.pop()
        return "answer"

    assert retry(call, timeout_s=60) == "answer"
    assert slept == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_retry_after_lengthens_a_pause_up_to_its_limit(slept: list[float]) -> None:
    error = ServerUnreachable("away")
    error.retry_after_s = 100.0
    outcomes = iter([error, None])

    def call() -> None:
        if (outcome := next(outcomes)) is not None:
            raise outcome

    retry(call, timeout_s=60)
    assert slept == [30.0]


def test_another_error_is_raised_without_a_pause(slept: list[float]) -> None:
    def call() -> None:
        raise NarrateError("wrong")

    with pytest.raises(NarrateError, match="wrong"):
        retry(call, timeout_s=60)
    assert slept == []
