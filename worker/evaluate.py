"""`python -m worker.evaluate --model DIR`: how far each precision is from float32 on your weights.

float32 speaks some sentences greedily; each precision is then given those codes one after another
and asked which it would have chosen (teacher forcing), so that one difference does not lead to
others. Nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import torch

from shared.errors import QueueError
from shared.models import ModelCard
from shared.speech_model import Task
from worker.engine.build import choose_parts
from worker.engine.codec.codec import Codec
from worker.engine.codec.stream import Stream
from worker.engine.parts import Parts, plain_parts
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.request import CODE_GROUPS, Reference, SynthesisRequest
from worker.engine.teacher_forcing import ForcedRun, force
from worker.model import catalogue
from worker.model.loading import load_model

DEFAULT_TEXTS = (
    "The lamp was lit, and nobody spoke for quite a while.",
    "On 14 March the ferry left at half past six, as it always had.",
    "Really? I never thought that anyone would ask me that.",
)
ROW_FORMAT = "{:<10} {:>12} {:>12} {:>13} {:>11}"


def main() -> None:
    """Print the table; one sentence and exit code 1 if the model cannot be loaded."""
    args = _arguments()
    try:
        source = catalogue.locate(args.model)
        asked = args.frames, args.text or DEFAULT_TEXTS, args.reference
        table = evaluate(source, *asked, compiled=not args.no_compile)
        for line in table:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except (QueueError, soundfile.LibsndfileError) as error:
        sys.exit(f"error: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker.evaluate", description=__doc__)
    parser.add_argument("--model", required=True, help="hub id, short name or local folder")
    parser.add_argument("--frames", type=int, default=50, help="of each text, 80 ms each (50)")
    parser.add_argument("--text", action="append", help="instead of ours; may be repeated")
    parser.add_argument("--reference", type=Path, help="WAV of a voice, for models that clone")
    parser.add_argument("--no-compile", action="store_true", help="as with TTS_COMPILE=0")
    args = parser.parse_args()
    if args.frames < 1:
        parser.error("--frames has to be at least 1")
    if args.reference is not None and not args.reference.is_file():
        parser.error(f"--reference: there is no file {args.reference}")
    return args


def evaluate(
    source: str,
    frames: int,
    texts: Iterable[str],
    reference: Path | None,
    *,
    compiled: bool = True,
) -> Iterable[str]:
    """The lines of the table, as they are measured."""
    model = load_model(source)
    asked = _requests(catalogue.card_of(source, model), frames, texts, reference)
    exact = force(model, Precision.FLOAT32, asked, [None] * len(asked))
    codes = [run.codes for run in exact]
    sounds = _sounds(load_model(source), plain_parts(Precision.FLOAT32), codes)
    yield ROW_FORMAT.format("precision", "first codes", "other codes", "logit error", "codec SNR")
    yield ROW_FORMAT.format("float32", "100.00 %", "100.00 %", "0.0000", "exact")
    for precision in (Precision.BFLOAT16, Precision.INT8):
        model = load_model(source)
        parts = choose_parts(model, precision, 1, compiled=compiled)
        found = _sounds(model, parts, codes)
        forced = force(model, precision, asked, codes, parts.decoder)
        first, others, error = _compare(exact, forced)
        snr = _snr(sounds, found)
        cells = (f"{first:.2%}", f"{others:.2%}", f"{error:.4f}", f"{snr:.1f} dB")
        yield ROW_FORMAT.format(precision, *(cell.replace("%", " %") for cell in cells))


def _requests(
    card: ModelCard, frames: int, texts: Iterable[str], reference: Path | None
) -> list[SynthesisRequest]:
    task = card.task
    voice = Reference("reference", *_recording(reference)) if task is Task.VOICE_CLONE else None
    return [
        SynthesisRequest(
            task=task,
            text=text,
            max_frames=frames,
            speaker=card.voices[0] if task is Task.CUSTOM_VOICE else None,
            instruct="A calm voice." if task is Task.VOICE_DESIGN else None,
            reference=voice,
        )
        for text in texts
    ]


def _recording(path: Path | None) -> tuple[np.ndarray, int]:
    """A recording's samples and rate; without one, three seconds of a hum."""
    if path is None:
        hum = 0.3 * np.sin(np.arange(72_000) * 0.05)
        return hum.astype(np.float32), 24_000
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate


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


def _sounds(model: Qwen3TTSModel, parts: Parts, codes: list[list[int]]) -> list[np.ndarray]:
    decoder = model.model.speech_tokenizer.model.decoder
    codec = Codec(decoder, parts.outer, parts.inner)
    frames = [np.array(one, dtype=np.int64).reshape(1, -1, CODE_GROUPS) for one in codes]
    return [codec.decode([Stream()], one)[0] for one in frames]


def _snr(expected: list[np.ndarray], found: list[np.ndarray]) -> float:
    """Signal to noise in dB."""
    signal, noise = np.concatenate(expected), np.concatenate(found) - np.concatenate(expected)
    return float(20 * np.log10(np.linalg.norm(signal) / np.linalg.norm(noise)))


if __name__ == "__main__":
    main()
