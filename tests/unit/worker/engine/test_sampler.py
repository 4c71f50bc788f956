"""The transformers processors are the reference: the same masks, the same probabilities."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from worker.engine.sampler import BatchSampler, SamplingParams, penalise

CPU = torch.device("cpu")


def reference(logits: torch.Tensor, choice: SamplingParams) -> torch.Tensor:
    steps: list[Any] = [TemperatureLogitsWarper(choice.temperature)]
    steps += [TopKLogitsWarper(choice.top_k)] if choice.top_k else []
    steps += [TopPLogitsWarper(choice.top_p)] if choice.top_p < 1 else []
    scores = LogitsProcessorList(steps)(torch.zeros(1, 0, dtype=torch.long), logits[None])
    return torch.softmax(scores, -1)[0]


CHOICES = st.builds(
    SamplingParams,
    greedy=st.just(False),
    temperature=st.sampled_from([0.1, 0.9, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 5, 50, 5_000]),
    top_p=st.sampled_from([0.01, 0.5, 0.95, 1.0]),
)


@settings(deadline=None)
@given(st.lists(CHOICES, min_size=1, max_size=6), st.integers(0, 10_000))
def test_a_mixed_batch_has_the_reference_probabilities(
    rows: list[SamplingParams], seed: int
) -> None:
    logits = 3 * torch.randn(len(rows), 200, generator=torch.Generator().manual_seed(seed))
    mine = BatchSampler(rows, CPU).probabilities(logits)
    for row, choice, logit in zip(mine, rows, logits, strict=True):
        expected = reference(logit, choice)
        assert ((row > 0) == (expected > 0)).all()
        torch.testing.assert_close(row, expected, rtol=1e-5, atol=1e-7)


@given(st.sampled_from([1.0, 1.05, 2.0, 0.5]), st.integers(0, 10_000))
def test_the_repetition_penalty_is_the_reference_one(penalty: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 50, generator=generator)
    ids = torch.randint(50, (1, 12), generator=generator)
    seen = torch.zeros(1, 50, dtype=torch.bool).scatter(1, ids, value=True)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    torch.testing.assert_close(
        penalise(logits, seen, torch.tensor([[penalty]])), expected, rtol=0, atol=0
    )


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(40_000, 4)
    uniform = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    codes = BatchSampler([SamplingParams(False)] * 40_000, CPU).draw(logits, uniform)
    shares = torch.bincount(codes, minlength=4) / 40_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.01, rtol=0)


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-24])
def test_a_draw_never_takes_what_is_masked(uniform: float) -> None:
    logits = torch.full((1, 100), -torch.inf)
    logits[0, 40:43] = 0.0
    code = BatchSampler([SamplingParams(False, top_k=50)], CPU).draw(
        logits, torch.tensor([uniform])
    )
    assert 40 <= int(code) <= 42


def test_greedy_rows_take_the_best_beside_sampling_ones() -> None:
    logits = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    rows = [SamplingParams(True), SamplingParams(False, temperature=5.0), SamplingParams(True)]
    codes = BatchSampler(rows, CPU).draw(logits, torch.full((3,), 0.999))
    assert codes[[0, 2]].tolist() == logits.argmax(-1)[[0, 2]].tolist()
