from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from api.webhooks.retries import JITTER, RETRIES_S, Reply, next_after_s


def test_attempts_are_spread_over_three_days() -> None:
    for attempt, planned in enumerate(RETRIES_S, 1):
        after_s = next_after_s(attempt, RETRIES_S, Reply(500, "9999"))
        assert after_s is not None
        assert planned <= after_s <= planned * (1 + JITTER)
    assert next_after_s(len(RETRIES_S) + 1, RETRIES_S) is None
    assert len({next_after_s(9, RETRIES_S) for _ in range(9)}) > 1


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("120", 120, 120),
        ("999999999999999", 3_600, 3_600),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 3_600, 3_600),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 5, 6),
        ("{in_a_minute}", 50, 60),
        ("0", 5, 6),
        ("-7", 5, 6),
        ("soon", 5, 6),
        ("²", 5, 6),
        ("", 5, 6),
    ],
)
def test_a_busy_receiver_says_when_it_is_asked_again(asked: str, least: float, most: float) -> None:
    minute = datetime.fromtimestamp(time.time() + 60, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for status in (429, 503):
        after_s = next_after_s(1, RETRIES_S, Reply(status, asked.format(in_a_minute=minute)))
        assert after_s is not None
        assert least <= after_s <= most
