"""Clocks of this process that a test sets wrong."""

from __future__ import annotations

import time

import pytest


def set_forward(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set this process's monotonic clock forward: Redis's, as known here, is ahead of Redis's."""
    now_s = time.monotonic
    patch.setattr(time, "monotonic", lambda: now_s() + seconds)
