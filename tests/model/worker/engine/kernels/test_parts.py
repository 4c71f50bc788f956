"""Parts are chosen by what was timed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.engine.build import choose_parts
from worker.engine.precision import Precision
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.mark.parametrize(
    ("fastest", "computed"), [("kernel", Precision.FLOAT32), ("onednn", Precision.BFLOAT16)]
)
def test_bfloat16_is_computed_in_float32_where_that_is_faster(
    tiny_checkpoint: Checkpoint, fastest: str, computed: Precision
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    answers: dict[str, str] = {}
    choose_parts(model, Precision.BFLOAT16, 4, answers=answers)
    (question,) = (one for one in answers if one.startswith("the language model"))
    parts = choose_parts(model, Precision.BFLOAT16, 4, answers={**answers, question: fastest})
    assert parts.precision is computed
    assert parts.names[0] == fastest
