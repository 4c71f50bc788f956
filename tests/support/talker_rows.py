"""Speaks requests with a `TalkerRunner`, in rows that come and go."""

from __future__ import annotations

from shared.speech_model import SamplingOverrides, Task
from worker.engine.request import SynthesisRequest
from worker.engine.runner import TalkerRunner
from worker.engine.sequence import Sequence

MIXED = [
    SamplingOverrides(do_sample=False, subtalker_dosample=False),
    SamplingOverrides(seed=1),
    SamplingOverrides(seed=2, top_k=5, subtalker_top_k=3, temperature=2.0),
    SamplingOverrides(seed=3, top_k=0, subtalker_top_k=0, subtalker_top_p=0.6, top_p=0.8),
    SamplingOverrides(seed=4, do_sample=False, subtalker_temperature=5.0, repetition_penalty=1.5),
    SamplingOverrides(seed=5, subtalker_dosample=False, subtalker_top_p=0.5, subtalker_top_k=700),
]
TEXTS = ["Hi.", "Hello there.", "Good morning to you all, and to those who are late."]


def run(
    runner: TalkerRunner, requests: list[SynthesisRequest], every: int, slots: int = 4
) -> list[Sequence]:
    """Admit a request each `every` steps, as rows come free."""
    waiting = list(requests)
    rows: list[Sequence] = []
    step = 0
    while waiting or len(runner):
        while waiting and len(runner) < slots and (step % every == 0 or not len(runner)):
            rows.append(admit(runner, waiting.pop(0)))
            if every > 1:
                break
        for row in runner.step():
            runner.remove(row)
        step += 1
    return rows


def admit(runner: TalkerRunner, request: SynthesisRequest) -> Sequence:
    """Read a request's prompt, into the next row."""
    sequence = Sequence(request)
    runner.admit(sequence)
    while not runner.prefill():
        pass
    return sequence


def mixed_request(number: int, frames: int = 9) -> SynthesisRequest:
    """One of 18 requests, of different lengths."""
    return SynthesisRequest(
        Task.CUSTOM_VOICE,
        TEXTS[number // len(MIXED) % len(TEXTS)],
        frames + number % 5,
        speaker="ryan",
        sampling=MIXED[number % len(MIXED)],
    )
