"""A runner without a model: it speaks a frame a character, of that character's code point."""

from __future__ import annotations

import threading

import numpy as np

from worker.engine.request import Codes, FinishReason, Samples, SynthesisRequest


class StubUtterance:
    def __init__(self, request: SynthesisRequest) -> None:
        self.request = request
        self.text = ""
        self.finish_reason: FinishReason = "length"

    @property
    def codes(self) -> Codes:
        return np.array([[ord(char)] * 16 for char in self.text], dtype=np.int64).reshape(-1, 16)

    def decode(self) -> Samples:
        levels = np.array([ord(char) for char in self.text], dtype=np.float32) / 32_767
        return np.repeat(levels, 1_920)


class StubRunner:
    """Obeys `Runner`. The text "bad" cannot be admitted; a step over "bomb" fails.

    Removing the row of "wreck" breaks the runner itself. `seen` has the texts of each step's rows.
    Steps wait while `go` is not set.
    """

    def __init__(self) -> None:
        self.rows: list[StubUtterance] = []
        self.admitted: list[SynthesisRequest] = []
        self.seen: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()

    def admit(self, request: SynthesisRequest) -> None:
        self.admitted.append(request)
        if request.text == "bad":
            raise ValueError("no voice")
        self.rows.append(StubUtterance(request))

    def step(self) -> list[int]:
        assert self.go.wait(10)
        self.seen.append([row.request.text for row in self.rows])
        if "bomb" in self.seen[-1]:
            raise RuntimeError("out of memory")
        ended = [index for index, row in enumerate(self.rows) if self._speak(row)]
        return ended[::-1]

    def _speak(self, row: StubUtterance) -> bool:
        row.text += row.request.text[len(row.text)]
        if row.text == row.request.text:
            row.finish_reason = "stop"
            return True
        return len(row.text) >= row.request.max_frames or row.request.cancelled.is_set()

    def remove(self, row: int) -> StubUtterance:
        if self.rows[row].request.text == "wreck":
            raise IndexError("the rows are in disorder")
        removed, self.rows[row] = self.rows[row], self.rows[-1]
        self.rows.pop()
        return removed

    def clear(self) -> None:
        self.rows = []
