"""Errors in the words that a speech recogniser hears, in each precision, spoken through HTTP."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(ROOT)

from concurrent.futures import ThreadPoolExecutor

from client import Narrator
from client.local.stack import Stack
from client.models import Model
from client.options import Options
from shared.settings import Settings
from worker.engine.precision import Precision
from worker.evaluate import make_requests
from worker.model import catalogue
from worker.model.loading import load_model
from worker.precision_difference import PrecisionDifference, compare
from worker.quality.judge import SpeechJudge, Transcript, error_rates
from worker.quality.texts import segments, sentences

TEACHER_VOICES = ("slt", "rms")  # flite's, which the demo voice was trained on
MAX_SENTENCES = 100
COMPARED_SENTENCES = 10
# Of docs/quality.md.
FIGURES = re.compile(r"(<!-- figures: .*? -->\n)(.*)(<!-- end of figures -->)", re.DOTALL)


@dataclass(frozen=True)
class Utterance:
    """One text to be spoken by one voice; long ones are as long as a service's segments."""

    text: str
    voice: str
    is_long: bool


@dataclass(frozen=True)
class Result:
    """An utterance, what was heard of it, and whether its speech found an end."""

    utterance: Utterance
    transcript: Transcript
    ended: bool = True


def main() -> None:
    """Speak, judge, and print the tables as Markdown; progress goes to standard error."""
    args = _arguments()
    judge = SpeechJudge(args.threads)
    short = sentences(args.sentences)
    texts = [(text, False) for text in short]
    texts += [(text, True) for text in segments(short, Settings().max_segment_chars)]
    rows: dict[str, list[Result]] = {}
    if args.teacher:
        rows["flite"] = speak_as_teacher(judge, texts)
    for precision in args.precisions:
        with serve(args.model, precision, args.slots) as (narrator, model):
            asked = [Utterance(text, voice, long) for text, long in texts for voice in model.voices]
            for at_once in (1, args.slots):
                name = (
                    f"{model.id} {precision}, {'alone' if at_once == 1 else f'{at_once} at once'}"
                )
                rows[name] = speak(narrator, model, judge, asked, at_once, name)
    differences = list(compare_precisions(args.model, short, args.precisions, args.threads))
    tables = "\n".join([*error_table(rows), "", *difference_table(differences)]) + "\n"
    sys.stdout.write(tables)
    if args.page:
        page = args.page.read_text("utf-8")
        args.page.write_text(FIGURES.sub(lambda found: found[1] + tables + found[3], page), "utf-8")
    if args.json:
        found = {name: [asdict(result) for result in results] for name, results in rows.items()}
        told = {"speech": found, "precisions": [asdict(one) for one in differences]}
        args.json.write_text(json.dumps(told, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="one with voices of its own (demo)")
    parser.add_argument(
        "--sentences",
        type=int,
        choices=range(1, MAX_SENTENCES + 1),
        metavar="N",
        default=MAX_SENTENCES,
        help="the first N of 100, each by each voice; the long texts are made of them",
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        type=Precision,
        default=list(Precision),
        metavar="PRECISION",
        help="float32, bfloat16, int8 (all)",
    )
    parser.add_argument("--slots", type=int, default=16, help="of a full batch (16)")
    parser.add_argument("--teacher", action="store_true", help="judge flite's speech, too")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of the recogniser, and of the comparison on forced codes (1)",
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="also put the tables between the marks of a page"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also every word that was heard")
    return parser.parse_args()


@contextmanager
def serve(model: str, precision: Precision, slots: int) -> Iterator[tuple[Narrator, Model]]:
    """A service of one worker, and its model, which has to have voices of its own."""
    os.environ |= {"TTS_PRECISION": precision, "TTS_SLOTS": str(slots)}
    with (
        TemporaryDirectory(prefix="narrate-quality-") as folder,
        Stack([model], data=Path(folder), port=0, logs_to_files=True) as stack,
    ):
        stack.wait_ready()
        with Narrator(stack.url) as narrator:
            (served,) = narrator.models()
            if not served.voices:
                sys.exit(f"{model} has no voices of its own: choose a custom voice model")
            yield narrator, served


def speak(
    narrator: Narrator,
    model: Model,
    judge: SpeechJudge,
    asked: Sequence[Utterance],
    at_once: int,
    name: str,
) -> list[Result]:
    """Speak each utterance in a job of its own, `at_once` at a time, then judge them all."""
    language = "english" if "english" in model.languages else "auto"

    def say(number: int, utterance: Utterance, folder: str) -> tuple[bytes, bool]:
        path = Path(folder) / f"{number}.wav"
        options: Options = {"voice": utterance.voice, "language": language, "seed": number}
        job = narrator.speak(utterance.text, path, **options)
        return path.read_bytes(), not job.segments.truncated

    _note(f"{name}: {len(asked)} texts are spoken…")
    with TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        spoken = list(pool.map(say, range(len(asked)), asked, [folder] * len(asked)))
    _note(f"{name}: they are judged…")
    return [
        Result(utterance, judge.transcribe(utterance.text, wav), ended)
        for utterance, (wav, ended) in zip(asked, spoken, strict=True)
    ]


def speak_as_teacher(judge: SpeechJudge, texts: Sequence[tuple[str, bool]]) -> list[Result]:
    """The results of flite's own voices, which the demo voice cannot be better than."""
    if shutil.which("flite") is None:
        sys.exit("--teacher needs flite: apt-get install flite")
    _note("flite: its voices are judged…")
    results = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for text, is_long in texts:
            for voice in TEACHER_VOICES:
                command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
                subprocess.run(command, check=True)
                heard = judge.transcribe(text, path.read_bytes())
                results.append(Result(Utterance(text, voice, is_long), heard))
    return results


def compare_precisions(
    name: str, texts: Sequence[str], precisions: Sequence[Precision], threads: int
) -> Iterator[PrecisionDifference]:
    """The differences from float32 on forced codes, over some of the sentences."""
    _note("precisions are compared on forced codes…")
    source = catalogue.locate(name)
    card = catalogue.card_of(name, load_model(source, threads=threads))
    requests = make_requests(card, texts[:COMPARED_SENTENCES])
    others = [precision for precision in precisions if precision is not Precision.FLOAT32]
    return compare(source, requests, others, threads=threads)


def error_table(rows: dict[str, list[Result]]) -> Iterator[str]:
    """The lines of the table of error rates, and of the texts whose speech found no end."""
    yield "| speech | voice | short: WER | CER | long: WER | CER | no end |"
    yield "|---|---|---|---|---|---|---|"
    for name, results in rows.items():
        for voice in sorted({result.utterance.voice for result in results}):
            own = [result for result in results if result.utterance.voice == voice]
            cells = [name, voice]
            for is_long in (False, True):
                kind = [one.transcript for one in own if one.utterance.is_long is is_long]
                rates = error_rates(kind)
                cells += [f"{rate:.1%}".replace("%", " %") for rate in (rates.wer, rates.cer)]
            unended = sum(not result.ended for result in own)
            yield f"| {' | '.join(cells)} | {unended} of {len(own)} |"
    for name, results in rows.items():
        for result in results:
            if not result.ended:
                yield f"\nNo end: {name}, {result.utterance.voice}: {result.utterance.text}"


def difference_table(differences: Sequence[PrecisionDifference]) -> Iterator[str]:
    """The lines of the table of differences on forced codes."""
    yield (
        "| precision | first codes | other codes | logit error | codec SNR | codec mel distance"
        " | mel distance | products of the language model; of the codec |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for each in differences:
        yield f"| {' | '.join(each.cells())} |"


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
