"""What the engine is asked for, from what the ledger says of a segment."""

from __future__ import annotations

import io
from dataclasses import replace
from threading import Event

import soundfile

from shared.jobs import Claim, SpeechSpec, StoredReference
from shared.storage import Storage
from shared.text import frame_bound
from worker.engine.request import Reference, Sampling, SynthesisRequest, Task


def request_of(claim: Claim, storage: Storage, cancelled: Event) -> SynthesisRequest:
    """The request of a segment, bounded by what its text can honestly take."""
    spec, sampling = claim.spec, claim.spec.sampling
    tokens = sampling.max_new_tokens
    return SynthesisRequest(
        task=Task(spec.task),
        text=claim.text,
        # qwen-tts makes one frame less than it makes tokens.
        max_frames=tokens - 1 if tokens else frame_bound(claim.text),
        language=spec.language,
        speaker=spec.voice,
        instruct=spec.instructions,
        reference=_reference(spec.reference, storage) if spec.reference else None,
        sampling=Sampling(**sampling.model_dump(exclude={"max_new_tokens"}), seed=spec.seed),
        cancelled=cancelled,
    )


def has_another_chance(spec: SpeechSpec) -> bool:
    """Whether another seed can help a speech that reached its bound: chance, and our own bound."""
    sampling = spec.sampling
    is_greedy = sampling.do_sample is False and sampling.subtalker_dosample is False
    return sampling.max_new_tokens is None and not is_greedy


def with_another_seed(request: SynthesisRequest) -> SynthesisRequest:
    """The same request, drawn anew; from a seed it is again the same each time."""
    seed = request.sampling.seed
    if seed is None:
        return request
    return replace(request, sampling=replace(request.sampling, seed=(seed + 1) % 2**32))


def _reference(stored: StoredReference, storage: Storage) -> Reference:
    content = storage.get(stored.key)
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    key = f"{stored.digest}:{stored.text!r}"
    return Reference(key, samples.mean(axis=1), rate, stored.text, stored.voice)
