"""The teacher's speech in files: `FOLDER/speech/NNN.npz` holds utterances, end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from training.units import Speech

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
