"""The same code on a CUDA device; nothing of this runs without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.speech_model import SamplingOverrides, Task
from tests.support.talker_rows import mixed_request, run
from worker.engine import runner as runner_module
from worker.engine.build import build_engine, choose_parts
from worker.engine.nn import decoder as decoder_module
from worker.engine.nn.decoder import Decoder
from worker.engine.nn.graphs import Captured, CudaCapture
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


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("rows", [1, 3, 11])
def test_graphs_give_the_codes_of_steps_without(
    tiny_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rows: int,
    every: int,
) -> None:
    """In float32, with mixed sampling parameters, while the cache grows."""
    monkeypatch.setattr(decoder_module, "GROWTH_POSITIONS", 8)
    monkeypatch.setattr(runner_module, "CACHE_MARGIN_POSITIONS", 2)
    monkeypatch.setattr(runner_module, "CAPTURE_POSITIONS", 4)
    folder = str(tiny_checkpoint("custom_voice"))
    requests = [mixed_request(number, 12) for number in range(rows + 2)]

    def spoken(capture: CudaCapture | None) -> list[Sequence]:
        model = load_model(folder, device="cuda")
        return run(TalkerRunner(model, rows, capture=capture), requests, every, rows)

    expected = spoken(None)
    for found, one in zip(spoken(CudaCapture(torch.device("cuda"))), expected, strict=True):
        np.testing.assert_array_equal(found.codes, one.codes)
    assert "without CUDA graphs" not in caplog.text


def test_an_operation_that_cannot_be_captured_costs_no_request(
    tiny_checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(tiny_checkpoint("custom_voice"))
    requests = [mixed_request(number) for number in range(3)]
    expected = run(TalkerRunner(load_model(folder, device="cuda"), 3), requests, 1, 3)
    capture = CudaCapture(torch.device("cuda"))

    def synchronise(step: Callable[[], tuple[torch.Tensor, ...]]) -> Captured:
        def stepping() -> tuple[torch.Tensor, ...]:
            outputs = step()
            outputs[0].sum().item()
            return outputs

        return capture(stepping)

    runner = TalkerRunner(load_model(folder, device="cuda"), 3, capture=synchronise)
    for found, one in zip(run(runner, requests, 1, 3), expected, strict=True):
        np.testing.assert_array_equal(found.codes, one.codes)
    assert caplog.text.count("without CUDA graphs") == 1


@pytest.mark.parametrize("is_captured", [False, True])
@pytest.mark.parametrize("kind", ASKED)
def test_an_engine_speaks_in_bfloat16(
    tiny_checkpoint: Checkpoint, kind: str, is_captured: bool
) -> None:
    model = load_model(str(tiny_checkpoint(kind)), device="cuda")
    precision = Precision.default_on("cuda")
    parts = choose_parts(model, precision, 3, compiled=is_captured)
    engine = build_engine(model, parts, slots=3, max_waiting=9)
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
    parts = choose_parts(model, Precision.BFLOAT16, 4)
    assert parts.decoder is Decoder
    assert parts.is_captured
    assert not caplog.records
