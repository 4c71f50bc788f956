"""`python -m training.corpus FOLDER`: the teacher's speech of drawn sentences, in shards.

Each shard holds the speech of `TEXTS_PER_SHARD` texts (`training.shards`). What exists stays,
so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path

import numpy as np

from training.analysis import analyse
from training.sentences import texts
from training.shards import Utterance, write
from training.teacher import speak
from training.units import UNIT_S

TEXTS_PER_SHARD = 250


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


def main() -> None:
    """Make shards until there are as many hours as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=16.5)
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
