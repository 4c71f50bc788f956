"""Finished segments to an audiobook, and the times of it."""

from worker.audio.join import join
from worker.audio.timeline import timeline

__all__ = ["join", "timeline"]
