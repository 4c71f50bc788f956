"""Samples to files: a segment to WAV, and finished segments to an audiobook."""

from worker.audio.join import join
from worker.audio.timeline import timeline
from worker.audio.wav import encode_wav

__all__ = ["encode_wav", "join", "timeline"]
