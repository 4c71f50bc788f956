"""`python -m worker.evaluate --model DIR`: how far each precision is from float32 on your weights.

float32 speaks some sentences greedily; each precision is then given those codes one after another
and asked which it would have chosen (teacher forcing), so that one difference does not lead to
others. With `--speech`, each precision speaks freely instead, as a worker does, and a speech
recogniser writes down what it hears: the errors in its words. Nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from shared.audio.wav import encode_wav
from shared.durations import frame_bound
from shared.errors import QueueError
from shared.models import ModelCard
from shared.speech_model import SamplingOverrides, Task
from worker.engine.build import build_engine, choose_parts
from worker.engine.precision import Precision
from worker.engine.request import Reference, SynthesisRequest
from worker.model import catalogue
from worker.model.loading import load_model
from worker.precision_difference import compare
from worker.quality.judge import SpeechJudge, error_rates
from worker.quality.texts import sentences

DEFAULT_TEXTS = (
    "The lamp was lit, and nobody spoke for quite a while.",
    "On 14 March the ferry left at half past six, as it always had.",
    "Really? I never thought that anyone would ask me that.",
)
DEFAULT_SPEECH_TEXTS = 20
SPEECH_SLOTS = 16
ROW_FORMAT = "{:<10} {:>12} {:>12} {:>13} {:>11} {:>18} {:>13}  {}"
SPEECH_ROW_FORMAT = "{:<10} {:>12} {:>17} {:>10}"


@dataclass(frozen=True)
class SpeechErrors:
    """The error rates of a precision's speech, and the texts whose speech found no end."""

    precision: Precision
    wer: float
    cer: float
    unended: int
    texts: int

    def cells(self) -> tuple[str, ...]:
        """The cells of a table's row."""
        return (
            str(self.precision),
            f"{self.wer:.1%}".replace("%", " %"),
            f"{self.cer:.1%}".replace("%", " %"),
            f"{self.unended} of {self.texts}",
        )


def main() -> None:
    """Print the table; one sentence and exit code 1 if the model cannot be loaded."""
    args = _arguments()
    try:
        for line in _judged(args) if args.speech else _compared(args):
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
    parser.add_argument("--threads", type=int, help="CPU threads; default: the physical cores")
    parser.add_argument("--no-compile", action="store_true", help="as a worker with TTS_COMPILE=0")
    parser.add_argument(
        "--precision",
        action="append",
        choices=[str(Precision.BFLOAT16), str(Precision.INT8)],
        help="beside float32; may be repeated (all)",
    )
    parser.add_argument(
        "--speech",
        action="store_true",
        help="judge whole sentences, in English, by the errors of a speech recogniser's words",
    )
    args = parser.parse_args()
    for option in ("frames", "threads"):
        if (number := getattr(args, option)) is not None and number < 1:
            parser.error(f"--{option} has to be at least 1")
    if args.reference is not None and not args.reference.is_file():
        parser.error(f"--reference: there is no file {args.reference}")
    asked = args.precision or [Precision.BFLOAT16, Precision.INT8]
    args.precision = [Precision(name) for name in asked]
    return args


def _compared(args: argparse.Namespace) -> Iterator[str]:
    """The lines of the table of differences, as they are measured."""
    source = catalogue.locate(args.model)
    yield ROW_FORMAT.format(
        "precision",
        "first codes",
        "other codes",
        "logit error",
        "codec SNR",
        "codec mel distance",
        "mel distance",
        "products of the language model; of the codec",
    )
    card = catalogue.card_of(source, load_model(source, threads=args.threads))
    requests = make_requests(card, args.text or DEFAULT_TEXTS, args.reference)
    bounded = [replace(request, max_frames=args.frames) for request in requests]
    options = {"compiled": not args.no_compile, "threads": args.threads}
    for difference in compare(source, bounded, args.precision, **options):
        yield ROW_FORMAT.format(*difference.cells())


def _judged(args: argparse.Namespace) -> Iterator[str]:
    """The lines of the table of error rates, as they are measured."""
    judge = SpeechJudge()
    source = catalogue.locate(args.model)
    yield SPEECH_ROW_FORMAT.format("precision", "wrong words", "wrong characters", "no end")
    card = catalogue.card_of(source, load_model(source, threads=args.threads))
    texts = args.text or sentences(DEFAULT_SPEECH_TEXTS)
    requests = make_requests(card, texts, args.reference)
    options = {"compiled": not args.no_compile, "threads": args.threads}
    for precision in (Precision.FLOAT32, *args.precision):
        found = judge_speech(judge, source, requests, precision, **options)
        yield SPEECH_ROW_FORMAT.format(*found.cells())


def make_requests(
    card: ModelCard, texts: Iterable[str], reference: Path | None = None
) -> list[SynthesisRequest]:
    """A request for each text, by the model's first voice, or the voice of a recording.

    Bounded as a worker bounds it. Raises soundfile's error if the recording cannot be read.
    """
    task = card.task
    voice = Reference("reference", *_recording(reference)) if task is Task.VOICE_CLONE else None
    return [
        SynthesisRequest(
            task=task,
            text=text,
            max_frames=frame_bound(text),
            speaker=card.voices[0] if task is Task.CUSTOM_VOICE else None,
            instruct="A calm voice." if task is Task.VOICE_DESIGN else None,
            reference=voice,
        )
        for text in texts
    ]


def judge_speech(
    judge: SpeechJudge,
    source: str,
    requests: Sequence[SynthesisRequest],
    precision: Precision,
    *,
    compiled: bool = True,
    threads: int | None = None,
) -> SpeechErrors:
    """The errors of speech as a worker makes it: in full batches, drawn with seeds."""
    model = load_model(source, threads=threads)
    parts = choose_parts(model, precision, SPEECH_SLOTS, compiled=compiled)
    engine = build_engine(model, parts, slots=SPEECH_SLOTS, max_waiting=len(requests))
    try:
        futures = [
            engine.submit(replace(request, sampling=SamplingOverrides(seed=seed)))
            for seed, request in enumerate(requests)
        ]
        speeches = [future.result() for future in futures]
    finally:
        engine.close()
    transcripts = [
        judge.transcribe(request.text, encode_wav(speech.samples))
        for request, speech in zip(requests, speeches, strict=True)
    ]
    rates = error_rates(transcripts)
    unended = sum(speech.finish_reason == "length" for speech in speeches)
    return SpeechErrors(precision, rates.wer, rates.cer, unended, len(requests))


def _recording(path: Path | None) -> tuple[np.ndarray, int]:
    """A recording's samples and rate; without one, three seconds of a hum."""
    if path is None:
        hum = 0.3 * np.sin(np.arange(72_000) * 0.05)
        return hum.astype(np.float32), 24_000
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate


if __name__ == "__main__":
    main()
