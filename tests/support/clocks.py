"""The clock of this process, as a test sets it."""

from __future__ import annotations

import time

import pytest


def set_forward(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set this process's monotonic clock forward, until `patch` is undone."""
    now_s = time.monotonic
    patch.setattr(time, "monotonic", lambda: now_s() + seconds)
