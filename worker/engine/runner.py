"""Computes: prefills requests into rows and makes one frame of all rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.engine.clone_prompts import ClonePrompts
from worker.engine.decoder import Decoder, Span, causal_mask
from worker.engine.errors import EngineError
from worker.engine.kv_cache import KVCache
from worker.engine.linear import Linear
from worker.engine.predictor import CodePredictor
from worker.engine.prompt import PromptBuilder
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.request import SynthesisRequest
from worker.engine.rows import Row, Rows
from worker.engine.sampler import penalise
from worker.engine.utterance import Utterance

FIRST_POSITIONS = 256
MIN_FRAMES = 2
# The last 1,024 codes are marks, not speech; of them only the end may be drawn.
MARKS = 1_024


class TalkerRunner:
    """A loaded model that speaks up to `slots` requests at once, in rows 0 to n - 1.

    It takes the model's weights over: they are laid out anew, and the old ones are let go, so
    that qwen-tts's own generate calls no longer work on this model.
    """

    def __init__(self, model: Qwen3TTSModel, slots: int) -> None:
        talker = model.model.talker
        config = talker.config
        self._defaults = model.generate_defaults
        self._codec = model.model.speech_tokenizer
        self._talker = Decoder(talker.model, config)
        self._head = Linear(talker.codec_head)
        self._codes: Tensor = talker.get_input_embeddings().weight.detach()
        self._predictor = CodePredictor(talker.code_predictor, slots)
        self._prompts = PromptBuilder(model)
        self._clones = ClonePrompts(model)
        self._cache = KVCache.allocate(
            config.num_hidden_layers,
            slots,
            config.num_key_value_heads,
            FIRST_POSITIONS,
            config.head_dim,
            self._codes,
        )
        self._end: int = config.codec_eos_token_id
        self._never = torch.zeros(config.vocab_size, dtype=torch.bool, device=self._codes.device)
        self._never[-MARKS:] = True
        self._never[self._end] = False
        self._rows = Rows(config.vocab_size, self._codes)
        del talker.model.layers, talker.codec_head
        del talker.code_predictor.model.layers, talker.code_predictor.lm_head

    @torch.inference_mode()
    def admit(self, request: SynthesisRequest) -> None:
        """Prefill a request into the next row; raises `EngineError` if the model cannot read it."""
        clone = self._clones.get(request.reference) if request.reference is not None else None
        prompt = self._prompts.build(request, clone)
        length, row = len(prompt.embeds), len(self._rows)
        self._make_room(length)
        positions = torch.arange(length, device=self._codes.device)[None]
        cos, sin = self._talker.rotary(positions, self._codes.dtype)
        span = Span(cos, sin, 0, causal_mask(length, self._codes), length, row)
        hidden = self._talker(prompt.embeds[None], span, self._cache)[:, -1]
        if not hidden.isfinite().all():
            self._cache.clear(row)  # what is masked must be finite too
            raise EngineError("the model's numbers overflow on this request")
        try:
            self._rows.add(Row(request, prompt, self._defaults), hidden, length)
            self._choose_first_codes(slice(row, row + 1))
        except BaseException:
            self._rows.truncate(row)  # a row that nobody knows would be taken for the next one
            raise

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Make one frame of every row; returns the rows that have ended, the last one first."""
        rows = self._rows
        uniform = rows.draw_uniform()
        first, text = self._codes[rows.first_codes], rows.text()
        others, embedded = self._predictor(rows.hidden, first, rows.predictor_choices, uniform)
        rows.append_frame(torch.cat([rows.first_codes[:, None], others], dim=1))
        rows.hidden = self._advance(embedded + text)
        self._choose_first_codes(slice(0, len(rows)))
        return rows.ended(self._end)

    @torch.inference_mode()
    def remove(self, row: int) -> Utterance:
        """Free a row, which the last row then takes; returns what it became."""
        last = len(self._rows) - 1
        if row != last:
            self._cache.move(last, row, int(self._rows.lengths[last]))
        return Utterance(self._rows.remove(row), self._codec)

    def clear(self) -> None:
        """Forget every row."""
        self._rows.clear()

    def _advance(self, x: Tensor) -> Tensor:
        """One talker step: [rows, hidden] to [rows, hidden]."""
        start = self._rows.lengths
        positions = int(start.max()) + 1
        self._make_room(positions)
        cos, sin = self._talker.rotary(start[:, None], x.dtype)
        ahead = torch.arange(positions, device=x.device) > start[:, None]
        mask = torch.zeros(ahead.shape, dtype=x.dtype, device=x.device)
        mask.masked_fill_(ahead, -torch.inf)
        span = Span(cos, sin, start, mask[:, None, None], positions)
        hidden = self._talker(x[:, None], span, self._cache)[:, -1]
        self._rows.lengths = start + 1
        return hidden

    def _choose_first_codes(self, own: slice) -> None:
        """Draw the next first code of these rows."""
        rows = self._rows
        logits = self._head(rows.hidden[own]).float()
        logits = penalise(logits, rows.seen[own], rows.penalties[own])
        logits.masked_fill_(self._never, -torch.inf)
        logits[:, self._end].masked_fill_(rows.young(own, MIN_FRAMES), -torch.inf)
        choices = rows.talker_choices(own)
        codes = choices.draw(logits, rows.next_uniform[own])
        rows.first_codes[own] = codes
        rows.seen[own].scatter_(1, codes[:, None], value=True)

    def _make_room(self, positions: int) -> None:
        """Grow by half at least: what a request may come to need is far more than most ever do."""
        if positions > self._cache.positions:
            room = max(positions, 3 * self._cache.positions // 2)
            self._cache = self._cache.grown(room, len(self._rows))
