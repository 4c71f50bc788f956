"""The state of all running sequences as tensors, a row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from worker.engine.prompt import Prompt
from worker.engine.request import CODE_GROUPS
from worker.engine.sampler import BatchSampler, SamplingParams
from worker.engine.sequence import Sequence

# qwen-tts's own defaults, for a checkpoint whose generation_config.json is silent.
DEFAULT_SAMPLING: Mapping[str, Any] = {
    "do_sample": True,
    "top_k": 50,
    "top_p": 1.0,
    "temperature": 0.9,
    "repetition_penalty": 1.05,
    "subtalker_dosample": True,
    "subtalker_top_k": 50,
    "subtalker_top_p": 1.0,
    "subtalker_temperature": 0.9,
}


class Row:
    """A sequence with its prompt, its sampling parameters and its own random stream.

    Raises `ValueError` for parameters beyond float32.
    """

    def __init__(self, sequence: Sequence, prompt: Prompt, defaults: Mapping[str, Any]) -> None:
        use = dict(DEFAULT_SAMPLING)
        for source in (defaults, vars(sequence.request.sampling)):
            use |= {name: value for name, value in source.items() if value is not None}
        for name in ("temperature", "subtalker_temperature", "repetition_penalty"):
            # Beyond these bounds float32 overflows or underflows, and the drawn code is invalid.
            if not 1e-3 <= use[name] <= 1e3:
                raise ValueError(f"{name} must be from 0.001 to 1000, not {use[name]}")
        self.sequence, self.prompt = sequence, prompt
        self.talker = SamplingParams(
            not use["do_sample"], use["temperature"], use["top_k"], use["top_p"]
        )
        self.predictor = SamplingParams(
            not use["subtalker_dosample"],
            use["subtalker_temperature"],
            use["subtalker_top_k"],
            use["subtalker_top_p"],
        )
        self.penalty: float = use["repetition_penalty"]
        self._random = torch.Generator()
        seed = sequence.request.sampling.seed
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed)

    def draw(self, count: int) -> Tensor:
        """The next `count` numbers in [0, 1) of this row's stream."""
        return torch.rand(count, generator=self._random)

    def text(self) -> Tensor:
        """The text embedding to add to the next frame's: [hidden]."""
        trailing, frame = self.prompt.trailing, len(self.sequence.frames)
        return trailing[frame] if frame < len(trailing) else self.prompt.pad


class Batch:
    """All running sequences, and their state as tensors of a row each.

    `hidden` [rows, hidden] is the talker's last state, `lengths` how many positions are in the
    cache, `first_codes` the codes that begin the next frame, `seen` [rows, codes] marks those drawn
    before.
    """

    _TENSORS = ("hidden", "lengths", "first_codes", "seen", "penalties", "next_uniform")

    def __init__(self, vocabulary: int, like: Tensor) -> None:
        self._vocabulary, self._like = vocabulary, like
        self.make_sampler: Callable[[list[SamplingParams], torch.device], BatchSampler] = (
            BatchSampler
        )
        self.clear()

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Forget every row."""
        device = self._like.device
        self._rows: list[Row] = []
        self.hidden = self._like.new_zeros(0, self._like.shape[1])
        self.lengths = torch.zeros(0, dtype=torch.long, device=device)
        self.first_codes = torch.zeros(0, dtype=torch.long, device=device)
        self.seen = torch.zeros(0, self._vocabulary, dtype=torch.bool, device=device)
        self.penalties = torch.ones(0, 1, device=device)
        self.next_uniform = torch.zeros(0, device=device)
        self._rows_changed()

    def add(self, row: Row, hidden: Tensor, length: int) -> None:
        """Add a prefilled request: its state `hidden` [1, hidden] after `length` positions."""
        device = self._like.device
        self._rows.append(row)
        new = {
            "hidden": hidden,
            "lengths": torch.tensor([length], device=device),
            "first_codes": torch.zeros(1, dtype=torch.long, device=device),
            "seen": torch.zeros(1, self._vocabulary, dtype=torch.bool, device=device),
            "penalties": torch.tensor([[row.penalty]], device=device),
            "next_uniform": row.draw(1).to(device),
        }
        for name in self._TENSORS:
            setattr(self, name, torch.cat([getattr(self, name), new[name]]))
        self._rows_changed()

    def truncate(self, count: int) -> None:
        """Keep the first `count` rows, whatever state the others are in."""
        del self._rows[count:]
        for name in self._TENSORS:
            setattr(self, name, getattr(self, name)[:count])
        self._rows_changed()

    def remove(self, index: int) -> None:
        """Remove a row; the last one takes its place."""
        keep = list(range(len(self)))
        keep[index] = keep[-1]
        keep.pop()
        for name in self._TENSORS:
            setattr(self, name, getattr(self, name)[keep])
        self._rows[index] = self._rows[-1]
        self._rows.pop()
        self._rows_changed()

    def draw_uniform(self) -> Tensor:
        """Draw this frame's numbers [rows, 15], and the one for the code that follows it."""
        drawn = torch.stack([row.draw(CODE_GROUPS) for row in self._rows]).to(self._like.device)
        self.next_uniform = drawn[:, -1]
        return drawn[:, :-1]

    def text(self) -> Tensor:
        """The text embeddings to add to the next frames': [rows, hidden]."""
        return torch.stack([row.text() for row in self._rows])

    def append_frame(self, codes: Tensor) -> None:
        """Keep a frame's codes [rows, 16]."""
        for row, frame in zip(self._rows, codes.tolist(), strict=True):
            row.sequence.frames.append(frame)

    def shorter_than(self, frames: int, own: slice) -> Tensor:
        """True for each of these rows with fewer than `frames` frames: [rows]."""
        counts = [len(row.sequence.frames) < frames for row in self._rows[own]]
        return torch.tensor(counts, device=self._like.device)

    @property
    def positions(self) -> int:
        """The positions that the longest row needs for its last frame, known without a device."""
        return max(len(row.prompt.embeds) + len(row.sequence.frames) for row in self._rows)

    def talker_sampler(self, own: slice) -> BatchSampler:
        """The sampler of these rows' first codes."""
        if len(self._rows[own]) == len(self):
            return self._talker_sampler
        return self._new_sampler([row.talker for row in self._rows[own]])

    def ended(self, end: int) -> list[int]:
        """The rows that drew `end`, reached their bound or were cancelled, the last one first."""
        ended = []
        for index, code in enumerate(self.first_codes.tolist()):
            sequence = self._rows[index].sequence
            request, is_full = sequence.request, len(sequence.frames) >= sequence.request.max_frames
            if code == end or is_full or request.cancelled.is_set():
                sequence.finish_reason = "stop" if code == end else "length"
                ended.append(index)
        return ended[::-1]

    def _rows_changed(self) -> None:
        self._talker_sampler = self._new_sampler([row.talker for row in self._rows])
        self.predictor_sampler = self._new_sampler([row.predictor for row in self._rows])

    def _new_sampler(self, rows: list[SamplingParams]) -> BatchSampler:
        return self.make_sampler(rows, self._like.device)
