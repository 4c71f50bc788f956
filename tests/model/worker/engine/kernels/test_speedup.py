"""The gain of int8 is measured with the model's own parts, once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.engine import speedup
from worker.engine.build import choose_parts
from worker.engine.parts import plain_parts
from worker.engine.precision import Precision
from worker.engine.speedup import int8_speedup
from worker.engine.tuning import Run
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_it_is_the_ratio_of_two_times(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    parts = choose_parts(model, Precision.FLOAT32, 4)
    assert int8_speedup(model, parts, {}) is None  # for so small a model
    monkeypatch.setattr(speedup, "MIN_WEIGHTS", 0)
    answers: dict[str, str] = {}
    found = int8_speedup(model, parts, answers)
    assert found is not None
    assert 0.05 < found < 20
    # The predictor and the codec of one precision, then of the other.
    times = iter([0.08, 0.004, 0.02, 0.001])

    def pretend(run: Run) -> float:
        run()
        return next(times)

    monkeypatch.setattr(speedup, "best_s", pretend)
    assert int8_speedup(model, parts, answers) == found  # known from before
    damaged = dict.fromkeys(answers, "fast")
    assert int8_speedup(model, parts, damaged) == pytest.approx(4)
    assert "4.00" in damaged.values()


def test_there_is_none_to_tell_of(tiny_checkpoint: Checkpoint) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    assert int8_speedup(model, choose_parts(model, Precision.INT8, 4), {}) is None
    assert int8_speedup(model, plain_parts(Precision.FLOAT32), {}) is None
