"""A runner and a codec without a model: a frame a character, of that character's code point."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from worker.engine.request import Codes, Reference, Samples, SynthesisRequest
from worker.engine.sequence import Sequence as EngineSequence


class StubReference:
    """A chunk for each sample of the reference."""

    def __init__(self, left: int) -> None:
        self.left = left

    @property
    def is_done(self) -> bool:
        return not self.left


class StubCodec:
    """Obeys `Codec`. A frame is 1,920 samples of its first code; it cannot decode a "~".

    Nor can it hear the chunk of a reference that has `deaf_at` chunks, with itself, to its end.
    """

    chunk = 4

    def __init__(self, *, deaf_at: int | None = 13) -> None:
        self.decoded: list[Codes] = []
        self.heard = 0
        self._deaf_at = deaf_at

    def open_reference(self, reference: Reference | None, _codes: Codes | None) -> StubReference:
        return StubReference(0 if reference is None else len(reference.samples))

    def decode_reference(self, heard: StubReference) -> None:
        if heard.left == self._deaf_at:
            raise RuntimeError("unlucky")
        heard.left -= 1
        self.heard += 1

    def open_stream(self, heard: StubReference) -> list[int]:
        assert heard.is_done
        return []

    def decode(self, streams: Sequence[list[int]], codes: Codes) -> Samples:
        assert codes.shape == (len(streams), codes.shape[1], 16)
        assert codes.shape[1] <= self.chunk
        self.decoded.append(codes)
        if (codes == ord("~")).any():
            raise RuntimeError("no such sound")
        return np.repeat(codes[:, :, 0].astype(np.float32) / 32_767, 1_920, axis=1)


class StubRunner:
    """Obeys `Runner`. The text "runaway" has no end, but by the seeds that `ends` has.

    The text "bad" cannot be admitted; a step over "bomb" fails.

    A text is prefilled in one part more than it has "+".

    Removing the row of "wreck" breaks the runner itself. `seen` has the texts of each step's rows.
    Steps wait while `go` is not set.
    """

    def __init__(self) -> None:
        self.rows: list[EngineSequence] = []
        self.admitted: list[SynthesisRequest] = []
        self.seen: list[list[str]] = []
        self.ends: set[int] = set()
        self.go = threading.Event()
        self.go.set()
        self.joining: EngineSequence | None = None
        self.parts = 0

    def prepare(self, request: SynthesisRequest) -> None:
        if request.text == "deaf":
            raise ValueError("nothing to hear")

    def admit(self, sequence: EngineSequence) -> None:
        request = sequence.request
        self.admitted.append(request)
        if request.text == "bad":
            raise ValueError("no voice")
        self.joining, self.parts = sequence, 1 + request.text.count("+")

    def prefill(self) -> bool:
        assert self.joining is not None
        self.parts -= 1
        if self.parts:
            return False
        self.rows.append(self.joining)
        self.joining = None
        return True

    def step(self) -> list[int]:
        assert self.go.wait(10)
        self.seen.append([row.request.text for row in self.rows])
        if "bomb" in self.seen[-1]:
            raise RuntimeError("out of memory")
        ended = [index for index, row in enumerate(self.rows) if self._speak(row)]
        return ended[::-1]

    def _speak(self, row: EngineSequence) -> bool:
        asked = row.request
        row.frames.append([ord(asked.text[len(row.frames) % len(asked.text)])] * 16)
        if len(row.frames) == len(asked.text) and (
            asked.text != "runaway" or asked.sampling.seed in self.ends
        ):
            row.finish_reason = "stop"
            return True
        return len(row.frames) >= asked.max_frames or asked.cancelled.is_set()

    def remove(self, row: int) -> None:
        if self.rows[row].request.text == "wreck":
            raise IndexError("the rows are in disorder")
        self.rows[row] = self.rows[-1]
        self.rows.pop()

    def clear(self) -> None:
        self.rows = []
