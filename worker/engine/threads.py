"""A short-lived thread for torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def run_in_temporary_thread(function: Callable[[], T]) -> T:
    """Call a function on a thread of its own, and wait.

    Each thread that computes with torch gets a team of helpers, which stays as long as the thread
    does. As soon as there are more helpers than cores, GNU's OpenMP lets them sleep between any two
    operations, and the engine's many small ones take twice as long. So only the engine's thread
    may keep a team.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()
