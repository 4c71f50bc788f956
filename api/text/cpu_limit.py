"""A limit of CPU time for one submission, in force for the thread that reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.errors import TooComplex

_deadline_s: ContextVar[float | None] = ContextVar("cpu_deadline_s", default=None)


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Let `check_cpu` raise `TooComplex` once this thread has used `seconds` more of CPU time.

    A nested limit does not extend the outer one.
    """
    outer_s = _deadline_s.get()
    inner_s = time.thread_time() + seconds
    token = _deadline_s.set(inner_s if outer_s is None else min(inner_s, outer_s))
    try:
        yield
    finally:
        _deadline_s.reset(token)


def check_cpu() -> None:
    """Raise `TooComplex` if the limit is used up; loops over a text call it at each step."""
    deadline_s = _deadline_s.get()
    if deadline_s is not None and time.thread_time() > deadline_s:
        raise TooComplex(
            "the input takes too long to split (TTS_MAX_SPLIT_CPU_S): send it in parts, or without "
            "long runs of marks",
            param="input",
        )
