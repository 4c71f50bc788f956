"""Computes: prefills requests into rows and makes one frame of all rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worker.engine.batch import Batch, Row
from worker.engine.clone_prompts import ClonePrompts, PromptStore
from worker.engine.errors import EngineError
from worker.engine.nn.decoder import Decoder, DecoderFactory, ForwardContext, causal_mask
from worker.engine.nn.graphs import Capture, Graphs, rounded_up
from worker.engine.nn.predictor import CodePredictor
from worker.engine.precision import Precision
from worker.engine.prompt import PromptBuilder
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.request import SynthesisRequest
from worker.engine.sampler import BatchSampler, SamplingParams, penalise
from worker.engine.sequence import Sequence
from worker.engine.threads import run_in_temporary_thread

# Positions that are read between two steps at the beginning of a prompt: they take about as long as
# a step.
PREFILL_CHUNK_POSITIONS = 128
# A captured step looks back over a multiple of this many positions.
CAPTURE_POSITIONS = 64
# At this position, reading takes twice as long as at the beginning of a prompt.
HALF_SPEED_POSITION = 256
# The cache begins to grow 16 positions before it is full, a few layers a step.
CACHE_MARGIN_POSITIONS = 16
# The row of the cache where prompts are read; the rows of the batch come after it.
PREFILL_ROW = 0
MIN_FRAMES = 2
# The last 1,024 codes are not speech; of them only the end of speech may be drawn.
SPECIAL_CODES = 1_024


@dataclass(eq=False)
class _Prefill:
    """A row whose prompt is being read; `read` positions are in the cache's prefill row."""

    row: Row
    read: int = 0


class TalkerRunner:
    """A loaded model that speaks up to `slots` requests at once, in rows 0 to n - 1.

    It takes the model's weights over: they are laid out anew and the old ones are freed, so that
    qwen-tts's own generate calls no longer work on this model. With `capture`, steps are captured
    and replayed.
    """

    def __init__(
        self,
        model: Qwen3TTSModel,
        slots: int,
        precision: Precision = Precision.FLOAT32,
        decoder: DecoderFactory = Decoder,
        prompts: PromptStore | None = None,
        capture: Capture | None = None,
    ) -> None:
        talker = model.model.talker
        config = talker.config
        self._defaults = model.generate_defaults
        embeddings = [talker.get_input_embeddings(), *talker.code_predictor.get_input_embeddings()]
        # Tables are only looked up: they keep their stored type, and all parts share them.
        tables: list[Tensor] = [one.weight.detach().clone() for one in embeddings]
        self._codes = tables[0]
        self._talker = decoder(talker.model, config, precision)
        self._head = self._talker.head(talker.codec_head)
        self._predictor = CodePredictor(
            talker.code_predictor, tables[1:], slots, precision, decoder
        )
        self._prompts = PromptBuilder(model, tables, precision)
        self._clones = ClonePrompts(model, prompts)
        self._cache = self._talker.new_cache(PREFILL_ROW + 1 + slots, long=True)
        self._eos: int = config.codec_eos_token_id
        self._never_drawn = torch.zeros(
            config.vocab_size, dtype=torch.bool, device=self._codes.device
        )
        self._never_drawn[-SPECIAL_CODES:] = True
        self._never_drawn[self._eos] = False
        self._batch = Batch(config.vocab_size, self._codes[:0].to(precision.dtype))
        self._prefilling: _Prefill | None = None
        self._graphs = None if capture is None else Graphs(capture, slots)
        self._captured_moves = 0
        del talker.model.layers, talker.model.text_embedding, talker.text_projection
        del talker.codec_head
        del talker.code_predictor.model.layers, talker.code_predictor.lm_head
        del talker.model.codec_embedding, talker.code_predictor.model.codec_embedding
        for left in model.model.parameters():
            left.data = left.detach().to(precision.dtype, copy=True)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._batch)

    def prepare(self, request: SynthesisRequest) -> None:
        """Read a request's reference, which takes seconds; from any thread."""
        if request.reference is not None:
            reference = request.reference
            run_in_temporary_thread(lambda: self._clones.get(reference))

    @torch.inference_mode()
    def admit(self, sequence: Sequence) -> None:
        """Build the prompt of a sequence, to be prefilled next.

        Raises what qwen-tts raises for a reference that it cannot encode, and `ValueError`.
        """
        request = sequence.request
        clone = self._clones.get(request.reference) if request.reference is not None else None
        prompt = self._prompts.build(request, clone)
        if prompt.reference_codes is not None:
            sequence.reference_codes = prompt.reference_codes.cpu().numpy()
        self._prefilling = _Prefill(Row(sequence, prompt, self._defaults))

    def prefill(self) -> bool:
        """Read the next positions of the admitted prompt, in the prefill row.

        True once all are read and the request is in the next row; room for a long one is made
        first, which takes some calls while others speak. Raises `EngineError` if the model cannot
        read it.
        """
        try:
            return self._prefill()
        except BaseException:
            self._prefilling = None
            raise

    @torch.inference_mode()
    def _prefill(self) -> bool:
        prefilling = self._prefilling
        assert prefilling is not None
        start, embeds = prefilling.read, prefilling.row.prompt.embeds
        if not self._make_room(len(embeds)):
            return False
        # Each position looks back on all before it: the later, the longer it takes.
        most = (
            PREFILL_CHUNK_POSITIONS * HALF_SPEED_POSITION // (HALF_SPEED_POSITION + start)
            if len(self._batch)
            else PREFILL_CHUNK_POSITIONS
        )
        part = embeds[start : start + max(1, most)]
        prefilling.read = end = start + len(part)
        cos, sin = self._talker.rotary(torch.arange(start, end, device=part.device)[None])
        mask = causal_mask(len(part), start, self._cache.keys[0])
        context = ForwardContext(cos, sin, start, mask, end, slice(PREFILL_ROW, PREFILL_ROW + 1))
        hidden = self._talker(part[None], context, self._cache)[:, -1]
        if not hidden.isfinite().all():
            self._cache.clear(PREFILL_ROW)  # what is masked must be finite too
            raise EngineError("the model's numbers overflow on this request")
        if end < len(embeds):
            return False
        self._add(prefilling.row, hidden, end)
        return True

    def _add(self, row: Row, hidden: Tensor, length: int) -> None:
        index = len(self._batch)
        self._cache.move(PREFILL_ROW, PREFILL_ROW + 1 + index, length)
        self._prefilling = None
        try:
            self._batch.add(row, hidden, length)
            self._choose_first_codes(slice(index, index + 1))
        except BaseException:
            self._batch.truncate(index)  # else the next sequence would take this row for its own
            raise

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Make one frame of every row; returns the rows that have ended, the last one first."""
        batch = self._batch
        uniform = batch.draw_uniform()
        text = batch.text()
        first = self._codes[batch.first_codes].to(text.dtype)
        others, embedded = self._predict(first, uniform)
        batch.append_frame(torch.cat([batch.first_codes[:, None], others], dim=1))
        batch.hidden = self._advance(embedded + text)
        self._choose_first_codes(slice(0, len(batch)))
        return batch.ended(self._eos)

    @torch.inference_mode()
    def remove(self, row: int) -> None:
        """Free a row, which the last row then takes."""
        last = len(self._batch) - 1
        if row != last:
            self._cache.move(
                PREFILL_ROW + 1 + last, PREFILL_ROW + 1 + row, int(self._batch.lengths[last])
            )
        self._batch.remove(row)

    @contextmanager
    def override_sampler(
        self, make_sampler: Callable[[list[SamplingParams], torch.device], Any]
    ) -> Iterator[None]:
        """Draw all codes with another sampler inside the `with` block, and capture nothing."""
        graphs, self._graphs = self._graphs, None
        self._batch.make_sampler = make_sampler
        try:
            yield
        finally:
            self._batch.make_sampler = BatchSampler
            self._graphs = graphs

    def clear(self) -> None:
        """Forget every row."""
        self._batch.clear()

    def _predict(self, first: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the codes that follow the first ones, as `CodePredictor` does."""
        hidden, sampler = self._batch.hidden, self._batch.predictor_sampler
        if self._graphs is None:
            return self._predictor(hidden, first, sampler, uniform)
        branches = sampler.branches.rounded()

        def predict(
            hidden: Tensor, first: Tensor, uniform: Tensor, *parameters: Tensor
        ) -> tuple[Tensor, Tensor]:
            kept_sampler = BatchSampler.from_tensors(branches, *parameters)
            return self._predictor(hidden, first, kept_sampler, uniform)

        inputs = (hidden, first, uniform, *sampler.tensors)
        codes, embedded = self._graphs.run("predictor", branches, predict, inputs)
        return codes, embedded

    def _advance(self, x: Tensor) -> Tensor:
        """One talker step: [rows, hidden] to [rows, hidden]."""
        start, cache = self._batch.lengths, self._cache
        positions = self._batch.positions
        self._make_room(positions)
        if cache.positions < positions:
            cache.fit(positions, self._used)
        if self._graphs is None:
            (hidden,) = self._look_back(positions, x, start)
        else:
            if cache.moves != self._captured_moves:
                self._graphs.drop("talker")
                self._captured_moves = cache.moves
            positions = min(rounded_up(positions, CAPTURE_POSITIONS), cache.positions)
            (hidden,) = self._graphs.run(
                "talker", positions, partial(self._look_back, positions), (x, start)
            )
        self._batch.lengths = start + 1
        return hidden

    def _look_back(self, positions: int, x: Tensor, start: Tensor) -> tuple[Tensor]:
        """Run [rows, hidden] through the talker, over `positions` positions of the cache.

        Those that a row has not reached are masked; there are zeros, or what a former row left.
        """
        cos, sin = self._talker.rotary(start[:, None])
        ahead = torch.arange(positions, device=x.device) > start[:, None]
        mask = torch.zeros(ahead.shape, dtype=self._cache.keys[0].dtype, device=x.device)
        mask.masked_fill_(ahead, -torch.inf)
        context = ForwardContext(
            cos,
            sin,
            start,
            mask[:, None, None],
            positions,
            slice(PREFILL_ROW + 1, PREFILL_ROW + 1 + len(x)),
        )
        return (self._talker(x[:, None], context, self._cache)[:, -1],)

    def _choose_first_codes(self, own: slice) -> None:
        """Draw the next first code of these rows."""
        batch = self._batch
        logits = self._head(batch.hidden[own]).float()
        logits = penalise(logits, batch.seen[own], batch.penalties[own])
        logits.masked_fill_(self._never_drawn, -torch.inf)
        logits[:, self._eos].masked_fill_(batch.shorter_than(MIN_FRAMES, own), -torch.inf)
        sampler = batch.talker_sampler(own)
        codes = sampler.draw(logits, batch.next_uniform[own])
        batch.first_codes[own] = codes
        batch.seen[own].scatter_(1, codes[:, None], value=True)

    @property
    def _used(self) -> int:
        """The number of cache rows in use."""
        return PREFILL_ROW + 1 + len(self._batch)

    def _make_room(self, positions: int) -> bool:
        """Make room for `positions` and what follows soon; False if not all layers have it yet.

        While others speak, some layers at a time: early enough for all to be ready in time. But all
        at once where steps are captured: whatever moves ends what was captured.
        """
        cache = self._cache
        is_slow = len(self._batch) > 0 and self._graphs is None
        some = -(-len(cache.keys) // CACHE_MARGIN_POSITIONS) if is_slow else None
        cache.fit(
            positions + CACHE_MARGIN_POSITIONS, self._used, some, shrinks=self._prefilling is None
        )
        return cache.positions >= positions + CACHE_MARGIN_POSITIONS
