"""The same code on a CUDA device; nothing of this runs without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.speech_model import SamplingOverrides, Task
from worker.engine.build import build_engine, choose_parts
from worker.engine.nn.decoder import Decoder
from worker.engine.parts import plain_parts
from worker.engine.precision import Precision
from worker.engine.request import CODE_GROUPS, Reference, SynthesisRequest
from worker.engine.runner import TalkerRunner
from worker.engine.sequence import Sequence
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
HUM = (0.3 * np.sin(np.arange(40_000) * 0.05)).astype(np.float32)
GREEDY = SamplingOverrides(do_sample=False, subtalker_dosample=False)
ASKED = {
    "custom_voice": SynthesisRequest(
        Task.CUSTOM_VOICE, "Hello there.", 12, speaker="ryan", sampling=GREEDY
    ),
    "voice_design": SynthesisRequest(
        Task.VOICE_DESIGN, "Hello there.", 12, instruct="An old man", sampling=GREEDY
    ),
    "base": SynthesisRequest(
        Task.VOICE_CLONE,
        "Hello there.",
        12,
        reference=Reference("hum", HUM, 24_000, "A hum."),
        sampling=GREEDY,
    ),
}
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def speak(runner: TalkerRunner, request: SynthesisRequest) -> Sequence:
    sequence = Sequence(request)
    runner.admit(sequence)
    while not runner.prefill():
        pass
    while not runner.step():
        pass
    runner.remove(0)
    return sequence


@pytest.mark.parametrize("kind", ASKED)
def test_float32_gives_the_codes_of_the_cpu(tiny_checkpoint: Checkpoint, kind: str) -> None:
    folder = str(tiny_checkpoint(kind))
    expected = speak(TalkerRunner(load_model(folder, threads=1), 1), ASKED[kind])
    found = speak(TalkerRunner(load_model(folder, device="cuda"), 1), ASKED[kind])
    np.testing.assert_array_equal(found.codes, expected.codes)


@pytest.mark.parametrize("kind", ASKED)
def test_an_engine_speaks_in_bfloat16(tiny_checkpoint: Checkpoint, kind: str) -> None:
    model = load_model(str(tiny_checkpoint(kind)), device="cuda")
    engine = build_engine(model, plain_parts(Precision.default_on("cuda")), slots=3, max_waiting=9)
    try:
        speeches = [future.result() for future in [engine.submit(ASKED[kind]) for _ in range(5)]]
    finally:
        engine.close()
    for speech in speeches:
        assert speech.codes.shape == (len(speech.codes), CODE_GROUPS)
        assert len(speech.samples) == len(speech.codes) * 1_920
        assert np.isfinite(speech.samples).all()
        assert np.abs(speech.samples).max() > 0


def test_there_is_nothing_to_compile(
    tiny_checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), device="cuda")
    assert choose_parts(model, Precision.BFLOAT16, 4).decoder is Decoder
    assert not caplog.records
