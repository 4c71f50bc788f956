"""Retries of webhooks: the time from a failed attempt to the next."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

# After the first attempt, the second, …: what the Standard Webhooks specification suggests, three
# days in all.
RETRIES_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Up to this share is added at random, so that events that failed together spread out.
JITTER = 0.2
MAX_RETRY_AFTER_S = 3_600
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Reply(NamedTuple):
    """The answer of a receiver."""

    status: int
    retry_after: str = ""


def next_after_s(
    attempt: int, retries_s: Sequence[float], reply: Reply | None = None
) -> float | None:
    """Seconds until the next attempt after this one, from 1; None: it was the last.

    A busy receiver that sends `Retry-After` gets no attempt until then, up to an hour.
    """
    if attempt > len(retries_s):
        return None
    planned = retries_s[attempt - 1] * (1 + JITTER * random.random())
    if reply is None or reply.status not in _BUSY:
        return planned
    return max(planned, min(_asked_s(reply.retry_after), MAX_RETRY_AFTER_S))


def _asked_s(retry_after: str) -> float:
    """The seconds that a `Retry-After` header asks for, from a number or a date; else 0."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:10])
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0
