"""Teacher forcing: the model is fed given codes, and its scores of each are kept."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.nn.decoder import Decoder, DecoderFactory
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.request import CODE_GROUPS, SynthesisRequest
from worker.engine.runner import TalkerRunner
from worker.engine.sampler import SamplingParams
from worker.engine.sequence import Sequence


@dataclass(frozen=True, eq=False)
class ForcedRun:
    """The codes of a run, `codes` [frames * 16], and the model's `logits` of each."""

    codes: list[int]
    logits: list[Tensor]

    @property
    def argmax_codes(self) -> list[int]:
        """The codes with the highest scores."""
        return [int(logits.argmax()) for logits in self.logits]


class _ForcedSampler:
    """In place of `BatchSampler`: draws the given codes, or the best where none are given."""

    def __init__(self, codes: abc.Sequence[int] | None) -> None:
        self._codes = codes
        self.forced_run = ForcedRun([], [])

    def __call__(self, _rows: list[SamplingParams], _device: torch.device) -> _ForcedSampler:
        return self

    def draw(self, logits: Tensor, _uniform: Tensor) -> Tensor:
        number = len(self.forced_run.codes)
        own = int(logits.argmax())
        # The first code of the frame after the last is drawn, too, but never used.
        code = self._codes[number] if self._codes and number < len(self._codes) else own
        self.forced_run.codes.append(code)
        self.forced_run.logits.append(logits[0].float().cpu())
        return torch.tensor([code], device=logits.device)


def force(
    model: Qwen3TTSModel,
    precision: Precision,
    requests: abc.Sequence[SynthesisRequest],
    codes: abc.Sequence[abc.Sequence[int] | None],
    decoder: DecoderFactory = Decoder,
) -> list[ForcedRun]:
    """Speak each request alone, up to its `max_frames`, with its codes or, without any, greedily.

    The model is used up.
    """
    runner = TalkerRunner(model, 1, precision, decoder)
    return [_speak(runner, *pair) for pair in zip(requests, codes, strict=True)]


def _speak(
    runner: TalkerRunner, request: SynthesisRequest, codes: abc.Sequence[int] | None
) -> ForcedRun:
    sampler = _ForcedSampler(codes)
    with runner.override_sampler(sampler):
        runner.admit(Sequence(request))
        while not runner.prefill():
            pass
        ended: list[int] = []
        while not ended:
            ended = runner.step()
        runner.remove(0)
    frames = len(sampler.forced_run.codes) // CODE_GROUPS
    whole = frames * CODE_GROUPS
    return ForcedRun(sampler.forced_run.codes[:whole], sampler.forced_run.logits[:whole])
