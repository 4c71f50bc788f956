"""The talker's lessons: prompts and frames of utterances, in batches of like lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer

from training.layout import (
    DETAIL_SIZE,
    FIRST_DETAIL,
    FIRST_SIZE,
    FIRST_UNIT,
    GROUPS,
    PITCH,
    PITCH_SIZE,
    POINTER,
    POINTER_SIZE,
    SECOND_DETAIL,
    SECOND_UNIT,
    SPEAKERS,
    pitch_codes,
)
from training.shards import read, shards
from training.talker_model import CODES, END
from training.units import UNITS_PER_FRAME, Floats, Ints

BATCH_POSITIONS = 1_600
MAX_FRAMES = 250  # a pointer reaches no further back
JOINED_SHARE = 0.4  # of utterances, in pairs: else long prompts, the service's segments, are rare
WRONG_CODES = 0.06  # of the codes that are heard, so that the talker learns to go on from a slip

# Special codes keep their distance from the end of the vocabulary, as in the released one.
_SHIFT = 3_072 - CODES
PAD, BEGIN, EOS = (code - _SHIFT for code in (2_148, 2_149, 2_150))
THINK, NO_THINK, THINK_BEGIN, THINK_END = (code - _SHIFT for code in (2_154, 2_155, 2_156, 2_157))
ENGLISH = 2_050 - _SHIFT
SPEAKER_CODES = {"ada": 3_066 - _SHIFT, "alan": 3_061 - _SHIFT}

_FIRST_SPECIAL_TOKEN = 267
_TEXT_PAD, _TEXT_BEGIN, _TEXT_END = (_FIRST_SPECIAL_TOKEN + n for n in (28, 29, 30))
_AUTO_SHARE = 0.4  # of prompts that name no language
_SIZES = {
    FIRST_UNIT: FIRST_SIZE,
    SECOND_UNIT: FIRST_SIZE,
    PITCH: PITCH_SIZE,
    FIRST_DETAIL: DETAIL_SIZE,
    SECOND_DETAIL: DETAIL_SIZE,
}


@dataclass(frozen=True)
class Item:
    """An utterance for the talker.

    `tokens` of the text, `first` and `detail` [units], the pitch `hertz` [frames] and, for each
    frame, the `spoken` token [frames] at its end.
    """

    tokens: list[int]
    first: Ints
    detail: Ints
    hertz: Floats
    spoken: Ints

    def then(self, other: Item, space: int) -> Item:
        """Both utterances as one, with the token of a space between their texts."""
        return Item(
            [*self.tokens, space, *other.tokens],
            np.concatenate([self.first, other.first]),
            np.concatenate([self.detail, other.detail]),
            np.concatenate([self.hertz, other.hertz]),
            np.concatenate([self.spoken, other.spoken + len(self.tokens) + 1]),
        )

    @property
    def fits(self) -> bool:
        """True if a pointer reaches as far as it has to."""
        return max(len(self.spoken), len(self.tokens)) <= MAX_FRAMES

    @property
    def positions(self) -> int:
        """Positions of the prompt's text and the frames."""
        return len(self.tokens) + len(self.spoken)


@dataclass(frozen=True)
class Batch:
    """Padded prompts and the frames that follow each.

    `text`, `code` and `coded` [rows, positions] are the prompt's tokens and codes and 1 where there
    is a code. `heard` [frames, GROUPS], with slips, stand at `row` and `column`. From `from_row`
    and `from_column` [frames + rows] are predicted `next` […, GROUPS] and `end` (group 0 or `END`).
    """

    text: Tensor
    code: Tensor
    coded: Tensor
    heard: Tensor
    row: Tensor
    column: Tensor
    from_row: Tensor
    from_column: Tensor
    next: Tensor
    end: Tensor


class Prompts:
    """The prompts of the released layout for our tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.role: list[int] = self.tokenizer("<|im_start|>assistant\n")["input_ids"]
        self.text_pad = _TEXT_PAD
        (self.space,) = self.tokenizer(" ")["input_ids"]

    def make(self, tokens: list[int], speaker: str, auto: bool) -> tuple[list[int], list[int], int]:
        """The text tokens and codes of a prompt, and the position of the first of `tokens`."""
        tag = [NO_THINK] if auto else [THINK]
        tag += [THINK_BEGIN, THINK_END] if auto else [THINK_BEGIN, ENGLISH, THINK_END]
        code = [*tag, SPEAKER_CODES[speaker], PAD, *[PAD] * (len(tokens) + 1), BEGIN]
        text = [*self.role, *[_TEXT_PAD] * (len(tag) + 1), _TEXT_BEGIN, *tokens]
        return [*text, _TEXT_END, _TEXT_PAD], code, len(text) - len(tokens)

    def token_of_letter(self, text: str, tokens: list[int]) -> Ints:
        """The index of the token that each character of `text` begins in."""
        # A token's name has one character for each byte.
        sizes = [len(name) for name in self.tokenizer.convert_ids_to_tokens(tokens)]
        token_of_byte = np.repeat(np.arange(len(tokens)), sizes)
        bytes_of_letters = np.array([len(letter.encode()) for letter in text])
        return token_of_byte[np.cumsum(bytes_of_letters) - bytes_of_letters]


def load(folder: Path, prompts: Prompts) -> list[Item]:
    """All utterances of the shards that have codes."""
    items = []
    for shard in shards(folder):
        path = folder / "codes" / shard.name
        if not path.exists():
            continue
        with np.load(path) as file:
            first, detail = file["first"], file["detail"]
        start = 0
        for utterance in read(shard):
            speech = utterance.speech
            units = slice(start, start + len(speech.pitch))
            start = units.stop
            tokens = prompts.tokenizer(utterance.text)["input_ids"]
            tokens_of_letters = prompts.token_of_letter(utterance.text, tokens)
            last_letters = speech.letters[UNITS_PER_FRAME - 1 :: UNITS_PER_FRAME]
            item = Item(
                tokens,
                first[units].astype(np.int16),
                detail[units].astype(np.int16),
                speech.pitch.reshape(-1, UNITS_PER_FRAME).mean(1),
                tokens_of_letters[last_letters],
            )
            if item.fits:
                items.append(item)
    return items


def join_some(items: list[Item], space: int, rng: np.random.Generator) -> list[Item]:
    """The items in a new order, some of them in pairs."""
    order = [items[number] for number in rng.permutation(len(items))]
    joined = int(JOINED_SHARE * len(order)) // 2 * 2
    found = order[joined:]
    for one, other in zip(order[:joined:2], order[1:joined:2], strict=True):
        pair = one.then(other, space)
        found += [pair] if pair.fits else [one, other]
    return found


def batches(items: list[Item], space: int, seed: int) -> Iterator[list[Item]]:
    """Endless groups of items of like lengths, in a new order and in new pairs each epoch."""
    rng = np.random.default_rng(seed)
    while True:
        found = join_some(items, space, rng)
        lengths = np.array([item.positions for item in found]) + rng.random(len(found)) * 12
        groups: list[list[Item]] = [[]]
        for number in np.argsort(lengths):
            item = found[number]
            if (len(groups[-1]) + 1) * (item.positions + 12) > BATCH_POSITIONS and groups[-1]:
                groups.append([])
            groups[-1].append(item)
        for number in rng.permutation(len(groups)):
            yield groups[number]


def collate(
    items: list[Item], prompts: Prompts, rng: np.random.Generator, wrong: float = WRONG_CODES
) -> Batch:
    """A batch of items, each with a drawn speaker and language tag."""
    parts = [_part(item, prompts, rng, wrong) for item in items]
    length = max(len(text) + len(frames) for text, _, frames, _ in parts)
    text, code = np.zeros((2, len(parts), length), np.int64)
    coded = np.zeros((len(parts), length), np.float32)
    rows, columns, from_rows, from_columns, nexts, ends = [], [], [], [], [], []
    for row, (tokens, codes, frames, _) in enumerate(parts):
        size, count = len(tokens), len(frames)
        text[row, :size] = tokens
        code[row, size - len(codes) : size] = codes
        coded[row, size - len(codes) : size] = 1
        rows.append(np.full(count, row))
        columns.append(np.arange(size, size + count))
        from_rows.append(np.full(count + 1, row))
        from_columns.append(np.arange(size - 1, size + count))
        nexts.append(np.concatenate([frames, frames[:1]]))
        ends.append(np.append(frames[:, 0], END))
    heard = np.concatenate([heard for *_, heard in parts])
    joined = [np.concatenate(one) for one in (rows, columns, from_rows, from_columns, nexts, ends)]
    tensors = [torch.from_numpy(one) for one in (text, code, coded, heard, *joined)]
    return Batch(*tensors)


def _part(
    item: Item, prompts: Prompts, rng: np.random.Generator, wrong: float
) -> tuple[list[int], list[int], Ints, Ints]:
    """The prompt's text and codes, the frames and the frames with slips."""
    speaker = SPEAKERS[rng.integers(len(SPEAKERS))]
    text, code, place = prompts.make(item.tokens, speaker.name, rng.random() < _AUTO_SHARE)
    frames = np.zeros((len(item.spoken), GROUPS), np.int64)
    frames[:, FIRST_UNIT], frames[:, SECOND_UNIT] = item.first[::2], item.first[1::2]
    frames[:, FIRST_DETAIL], frames[:, SECOND_DETAIL] = item.detail[::2], item.detail[1::2]
    frames[:, PITCH] = pitch_codes(speaker.steps_of(item.hertz))
    own = np.arange(len(text), len(text) + len(frames))
    frames[:, POINTER] = (own - (place + item.spoken)).clip(0, POINTER_SIZE - 1)

    heard = frames.copy()
    for group, size in _SIZES.items():
        slips = rng.random(len(frames)) < wrong
        heard[slips, group] = rng.integers(0, size, slips.sum())
    slips = rng.random(len(frames)) < wrong
    moved = heard[slips, POINTER] + rng.integers(-2, 3, slips.sum())
    heard[slips, POINTER] = moved.clip(0, POINTER_SIZE - 1)
    return text, code, frames, heard
