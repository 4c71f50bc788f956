"""A precision's differences from float32 on the same codes, in codes, scores and sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from worker.engine.build import choose_parts
from worker.engine.codec.codec import Codec
from worker.engine.codec.stream import Stream
from worker.engine.parts import Parts, plain_parts
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.request import CODE_GROUPS, Samples, SynthesisRequest
from worker.engine.teacher_forcing import ForcedRun, force
from worker.model.loading import load_model
from worker.quality.log_mel import log_mel_distance


@dataclass(frozen=True)
class PrecisionDifference:
    """A precision's differences from float32, on the codes that float32 spoke.

    The shares of first and other codes of each frame that it would have chosen too; the error of
    its scores ÷ their spread; the codec's signal-to-noise ratio and log-mel distance on equal
    codes, in dB; and the log-mel distance in dB of the sound of the codes that it would have
    chosen. `products` are those of the language model and of the codec.
    """

    precision: Precision
    products: tuple[str, str]
    first_codes: float = 1.0
    other_codes: float = 1.0
    logit_error: float = 0.0
    codec_snr_db: float = float("inf")
    codec_mel_distance_db: float = 0.0
    mel_distance_db: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """The cells of a table's row."""
        is_exact = self.precision is Precision.FLOAT32
        return (
            str(self.precision),
            f"{self.first_codes:.2%}".replace("%", " %"),
            f"{self.other_codes:.2%}".replace("%", " %"),
            f"{self.logit_error:.4f}",
            "exact" if is_exact else f"{self.codec_snr_db:.1f} dB",
            "exact" if is_exact else f"{self.codec_mel_distance_db:.2f} dB",
            "exact" if is_exact else f"{self.mel_distance_db:.2f} dB",
            "; ".join(self.products),
        )


def compare(
    source: str,
    requests: Sequence[SynthesisRequest],
    precisions: Iterable[Precision],
    *,
    compiled: bool = True,
    threads: int | None = None,
) -> Iterator[PrecisionDifference]:
    """The differences of float32, which are none, then those of the other precisions."""
    exact = force(
        load_model(source, threads=threads), Precision.FLOAT32, requests, [None] * len(requests)
    )
    codes = [run.codes for run in exact]
    plain = plain_parts(Precision.FLOAT32)
    sounds = _decode(_codec(load_model(source, threads=threads), plain), codes)
    yield PrecisionDifference(Precision.FLOAT32, plain.names)
    for precision in precisions:
        model = load_model(source, threads=threads)
        parts = choose_parts(model, precision, 1, compiled=compiled)
        codec = _codec(model, parts)
        forced = force(model, parts.precision, requests, codes, parts.decoder)
        first, others, error = _compare(exact, forced)
        equal = _decode(codec, codes)
        chosen = _decode(codec, [run.argmax_codes for run in forced])
        yield PrecisionDifference(
            precision,
            parts.names,
            first,
            others,
            error,
            _snr(sounds, equal),
            _mel_distance(sounds, equal),
            _mel_distance(sounds, chosen),
        )


def _compare(exact: list[ForcedRun], forced: list[ForcedRun]) -> tuple[float, float, float]:
    """The shares of first and of other codes that agree, and the scores' error ÷ their spread."""
    same = [
        wish == code
        for one, other in zip(exact, forced, strict=True)
        for wish, code in zip(other.argmax_codes, one.codes, strict=True)
    ]
    agreement = np.array(same).reshape(-1, CODE_GROUPS)
    errors, spreads = [], []
    for one, other in zip(exact, forced, strict=True):
        for expected, found in zip(one.logits, other.logits, strict=True):
            allowed = expected.isfinite()
            errors.append((found - expected)[allowed].pow(2).mean())
            spreads.append(expected[allowed].var())
    error = torch.stack(errors).sum().div(torch.stack(spreads).sum()).sqrt()
    return agreement[:, 0].mean(), agreement[:, 1:].mean(), float(error)


def _codec(model: Qwen3TTSModel, parts: Parts) -> Codec:
    decoder = model.model.speech_tokenizer.model.decoder
    return Codec(decoder, parts.outer, parts.inner)


def _decode(codec: Codec, codes: Iterable[list[int]]) -> list[Samples]:
    frames = [np.array(one, dtype=np.int64).reshape(1, -1, CODE_GROUPS) for one in codes]
    return [codec.decode([Stream()], one)[0] for one in frames]


def _mel_distance(expected: list[Samples], found: list[Samples]) -> float:
    """The mean log-mel distance in dB."""
    return float(np.mean(list(map(log_mel_distance, expected, found))))


def _snr(expected: list[Samples], found: list[Samples]) -> float:
    """Signal to noise in dB."""
    signal, noise = np.concatenate(expected), np.concatenate(found) - np.concatenate(expected)
    return float(20 * np.log10(np.linalg.norm(signal) / np.linalg.norm(noise)))
