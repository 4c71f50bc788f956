"""Captured steps make the codes of others; the capture is a pretended one, without a device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from shared.speech_model import SamplingOverrides, Task
from tests.support.pretend_capture import PretendCapture
from tests.support.talker_rows import mixed_request, run
from worker.engine import runner as runner_module
from worker.engine.build import choose_parts
from worker.engine.nn import decoder as decoder_module
from worker.engine.nn.decoder import Decoder, ForwardContext
from worker.engine.nn.graphs import Capture, Captured
from worker.engine.nn.kv_cache import KVCache
from worker.engine.parts import plain_parts
from worker.engine.precision import Precision
from worker.engine.request import SynthesisRequest
from worker.engine.runner import MIN_FRAMES, SPECIAL_CODES, TalkerRunner
from worker.engine.sampler import BatchSampler, SamplingParams
from worker.engine.sequence import Sequence
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
SLOTS = 11


@pytest.fixture(scope="module")
def load(tiny_checkpoint: Checkpoint) -> Callable[[Capture | None], TalkerRunner]:
    def make(capture: Capture | None) -> TalkerRunner:
        model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
        return TalkerRunner(model, SLOTS, capture=capture)

    return make


Load = Callable[[Capture | None], TalkerRunner]


@pytest.fixture(scope="module")
def plain(load: Load) -> TalkerRunner:
    return load(None)


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> PretendCapture:
    """A capture that sees which caches are written to."""
    capture = PretendCapture()
    forward = Decoder.__call__

    def watched(self: Decoder, x: Tensor, context: ForwardContext, cache: KVCache) -> Tensor:
        capture.touched.append(cache)
        return forward(self, x, context, cache)

    monkeypatch.setattr(Decoder, "__call__", watched)
    return capture


def assert_equal(found: list[Sequence], expected: list[Sequence]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        assert one.finish_reason == other.finish_reason


@pytest.mark.parametrize("rows", [1, 3, 9, 11])
def test_the_codes_are_those_of_steps_that_are_not_captured(
    load: Load, plain: TalkerRunner, capture: PretendCapture, rows: int
) -> None:
    requests = [mixed_request(number) for number in range(rows)]
    assert_equal(run(load(capture), requests, 1, SLOTS), run(plain, requests, 1, SLOTS))
    assert capture.captures >= 2
    assert capture.replays > capture.captures


@settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    numbers=st.lists(st.integers(0, 17), min_size=1, max_size=14),
    every=st.integers(1, 4),
)
def test_rows_that_come_and_go_have_the_same_codes(
    load: Load, plain: TalkerRunner, capture: PretendCapture, numbers: list[int], every: int
) -> None:
    requests = [mixed_request(number) for number in numbers]
    assert_equal(run(load(capture), requests, every, SLOTS), run(plain, requests, every, SLOTS))


def test_a_second_load_of_the_same_kind_captures_nothing(
    load: Load, capture: PretendCapture
) -> None:
    runner = load(capture)
    requests = [mixed_request(number) for number in range(4)]
    first = run(runner, requests, 1, SLOTS)
    captures = capture.captures
    assert_equal(run(runner, requests, 1, SLOTS), first)
    assert capture.captures == captures


@pytest.mark.parametrize("every", [1, 3])
def test_what_was_captured_is_dropped_when_the_cache_moves(
    load: Load, capture: PretendCapture, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(decoder_module, "GROWTH_POSITIONS", 8)
    monkeypatch.setattr(runner_module, "CACHE_MARGIN_POSITIONS", 2)
    monkeypatch.setattr(runner_module, "CAPTURE_POSITIONS", 4)
    monkeypatch.setattr(runner_module, "PREFILL_CHUNK_POSITIONS", 5)
    numbers = [0, 13, 1, 14, 2]
    requests = [mixed_request(number, 30 if number > 6 else 8) for number in numbers]
    runner = load(capture)
    expected = run(load(None), requests, every, 3)
    assert_equal(run(runner, requests, every, 3), expected)
    grown, captures = runner._cache.positions, capture.captures
    # Alone, a short one needs less than half of it.
    assert_equal(run(runner, requests[:1], 1), run(load(None), requests[:1], 1))
    assert runner._cache.positions < grown
    assert capture.captures > captures


def test_special_codes_and_too_early_ends_are_not_drawn(
    load: Load, plain: TalkerRunner, capture: PretendCapture
) -> None:
    wild = {"temperature": 1_000.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
    requests = [
        SynthesisRequest(
            Task.CUSTOM_VOICE, "Hi.", 40, speaker="ryan", sampling=SamplingOverrides(seed=n, **wild)
        )
        for n in range(SLOTS)
    ]
    spoken = run(load(capture), requests, 1, SLOTS)
    assert_equal(spoken, run(plain, requests, 1, SLOTS))
    vocabulary = len(plain._never_drawn)
    for sequence in spoken:
        assert len(sequence.codes) >= MIN_FRAMES
        assert (sequence.codes[:, 0] < vocabulary - SPECIAL_CODES).all()


@pytest.mark.parametrize("good", [0, 1, 3])
def test_a_capture_that_fails_is_logged_once_and_costs_no_request(
    load: Load,
    plain: TalkerRunner,
    capture: PretendCapture,
    caplog: pytest.LogCaptureFixture,
    good: int,
) -> None:
    def fail(step: Callable[[], tuple[Tensor, ...]]) -> Captured:
        if capture.captures < good:
            return capture(step)
        raise RuntimeError("operation not permitted when stream is capturing")

    requests = [mixed_request(number) for number in range(5)]
    expected = run(plain, requests, 2, SLOTS)
    caplog.clear()
    runner = load(fail)
    caplog.clear()
    assert_equal(run(runner, requests, 2, SLOTS), expected)
    (record,) = caplog.records
    assert "without CUDA graphs" in record.getMessage()


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize("compiled", [True, False])
def test_steps_are_captured_on_cuda_unless_it_is_switched_off(device: str, compiled: bool) -> None:
    model: Any = SimpleNamespace(device=torch.device(device))
    parts = choose_parts(model, Precision.BFLOAT16, 4, compiled=compiled)
    assert parts.is_captured == compiled
    assert not plain_parts(Precision.FLOAT32).is_captured


def test_another_sampler_is_not_captured(load: Load, plain: TalkerRunner) -> None:
    def fail(_: object) -> NoReturn:
        raise AssertionError

    runner = load(fail)
    made: list[int] = []

    def make(rows: list[SamplingParams], device: torch.device) -> BatchSampler:
        made.append(len(rows))
        return BatchSampler(rows, device)

    with runner.override_sampler(make):
        found = run(runner, [mixed_request(1), mixed_request(3)], 1)
    assert made
    assert_equal(found, run(plain, [mixed_request(1), mixed_request(3)], 1))
    with pytest.raises(AssertionError):
        run(runner, [mixed_request(1)], 1)
