"""`python -m training.corpus FOLDER --hours 8`: the teacher's speech of drawn sentences, in shards.

`FOLDER/speech/NNN.npz` holds the speech of `TEXTS_PER_SHARD` texts, end to end. What exists stays,
so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from training.analysis import analyse
from training.sentences import texts
from training.teacher import speak
from training.units import UNIT_S, Speech

TEXTS_PER_SHARD = 250
_HALVES = ("envelope", "voiced")  # float16 on disk


@dataclass(frozen=True)
class Utterance:
    """A text and its speech."""

    text: str
    speech: Speech


def shards(folder: Path) -> list[Path]:
    """The finished shards of a training folder, in order."""
    return sorted((folder / "speech").glob("[0-9]*.npz"))


def read(shard: Path) -> Iterator[Utterance]:
    """The utterances of a shard."""
    with np.load(shard) as file:
        texts, ends = json.loads(str(file["texts"])), file["ends"]
        columns = {
            field.name: file[field.name].astype(np.float32)
            if field.name in _HALVES
            else file[field.name]
            for field in fields(Speech)
        }
    start = 0
    for text, end in zip(texts, ends, strict=True):
        yield Utterance(text, Speech(**{name: all_[start:end] for name, all_ in columns.items()}))
        start = int(end)


def make_shard(folder: Path, number: int) -> float:
    """Write shard `number`, unless it is there, and return its hours of speech."""
    path = folder / "speech" / f"{number:03}.npz"
    if not path.exists():
        utterances = []
        with tempfile.TemporaryDirectory() as scratch:
            for text in islice(texts(number), TEXTS_PER_SHARD):
                try:
                    speech = analyse(text, speak(text, Path(scratch) / "speech.wav"))
                except ValueError:  # a text of signs alone
                    continue
                utterances.append(Utterance(text, speech))
        write(path, utterances)
    with np.load(path) as file:
        return float(file["ends"][-1]) * UNIT_S / 3_600


def write(path: Path, utterances: list[Utterance]) -> None:
    """Write a shard, at once."""
    columns = {
        field.name: np.concatenate([getattr(one.speech, field.name) for one in utterances])
        for field in fields(Speech)
    }
    for name in _HALVES:
        columns[name] = columns[name].astype(np.float16)
    ends = np.cumsum([len(one.speech.pitch) for one in utterances])
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        content: dict[str, Any] = columns | {
            "ends": ends,
            "texts": json.dumps([one.text for one in utterances]),
        }
        np.savez(file, **content)
    draft.rename(path)


def main() -> None:
    """Make shards until there are as many hours as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    (args.folder / "speech").mkdir(parents=True, exist_ok=True)
    done, numbers = 0.0, count()
    with ProcessPoolExecutor(args.processes) as pool:
        while done < args.hours:
            batch = list(islice(numbers, args.processes))
            done += sum(pool.map(make_shard, [args.folder] * len(batch), batch))
            print(f"{done:.2f} of {args.hours} hours of speech", flush=True)


if __name__ == "__main__":
    main()
