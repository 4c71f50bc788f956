"""Memory does not grow with the number of requests; one of them holds about 100 kB of state."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared.speech_model import Task
from worker.engine import clone_prompts
from worker.engine.build import build_engine, choose_parts
from worker.engine.codec import codec
from worker.engine.precision import Precision
from worker.engine.request import Reference, SynthesisRequest
from worker.model.cpu import give_memory_back
from worker.model.loading import load_model


def resident_mb() -> float:
    gc.collect()
    give_memory_back()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def test_a_thousand_requests_leave_nothing_behind(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloning, the task with most state; more voices than are remembered, and some bad ones."""
    monkeypatch.setattr(clone_prompts, "MAX_PROMPTS", 4)
    monkeypatch.setattr(codec, "MAX_REFERENCES", 4)
    model = load_model(str(tiny_checkpoint("base")), threads=1)
    engine = build_engine(
        model, choose_parts(model, Precision.FLOAT32, 16), slots=16, max_waiting=100
    )
    hum = (0.3 * np.sin(np.arange(6_000) * 0.05)).astype(np.float32)

    def speak(first: int, count: int) -> None:
        for start in range(first, first + count, 50):
            futures = [engine.submit(request(number)) for number in range(start, start + 50)]
            failed = [future.exception(60) for future in futures]
            assert sum(error is not None for error in failed) == 1

    def request(number: int) -> SynthesisRequest:
        voice = Reference(f"voice {number // 40}", hum, 24_000, "Hum.")
        language = "klingon" if number % 50 == 7 else "english"
        return SynthesisRequest(
            task=Task.VOICE_CLONE,
            text="Hi.",
            max_frames=1 + number % 5,
            language=language,
            reference=voice,
        )

    speak(0, 250)  # by then as many voices are remembered as there will be
    before = resident_mb()
    speak(250, 1_000)
    grown = resident_mb() - before
    engine.close()
    assert grown < 20, f"{grown:.1f} MB for 1,000 requests"
