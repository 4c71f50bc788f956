"""Live audio: a Redis stream for each segment, from a worker to the job's listeners.

It is transport, not storage: lost samples are in the segment's file once that is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from redis.typing import EncodableT, FieldT

from shared.audio.wav import Pcm

# Seconds from its last entry until a stream is gone; it has the newest entries only.
STREAM_TTL_S = 60
MAX_STREAM_ENTRIES = 2_048


class LiveChunk(NamedTuple):
    """Samples of one attempt at a segment, from sample `at` on; without any, the attempt's end."""

    epoch: int
    at: int
    pcm: Pcm

    @property
    def is_end(self) -> bool:
        """True if the segment ends at `at`."""
        return not len(self.pcm)

    def fields(self) -> dict[FieldT, EncodableT]:
        """It as a stream's entry: the samples as 16 bit, little endian."""
        pcm = self.pcm.astype("<i2").tobytes()
        return {b"epoch": b"%d" % self.epoch, b"at": b"%d" % self.at, b"pcm": pcm}

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> LiveChunk:
        """A chunk, as an entry has it."""
        pcm = np.frombuffer(fields[b"pcm"], "<i2").astype(np.int16)
        return cls(int(fields[b"epoch"]), int(fields[b"at"]), pcm)
