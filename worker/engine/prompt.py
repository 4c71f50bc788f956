"""From a request to what the talker reads: embeddings, as qwen-tts builds them.

The layout is that of `Qwen3TTSForConditionalGeneration.generate` in qwen-tts 0.1.1: instructions,
role, language tag and speaker, then text and codes, added up position by position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from shared.speech_model import Task
from worker.engine.nn.linear import linear
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.request import SynthesisRequest


@dataclass(frozen=True, eq=False)
class Prompt:
    """`embeds` [positions, hidden] to prefill; `trailing` [n, hidden] is added frame by frame.

    After the last row of `trailing` comes `pad` [hidden], for ever. `reference_codes` [frames, 16]
    go before the speech when it is decoded.
    """

    embeds: Tensor
    trailing: Tensor
    pad: Tensor
    reference_codes: Tensor | None = None


class PromptBuilder:
    """Builds prompts with a loaded model's own embeddings and tokenizer.

    `tables` embed each of a frame's 16 codes. The table of text, a third of all weights, stays what
    and where it is; rows of it are read.
    """

    def __init__(self, model: Qwen3TTSModel, tables: list[Tensor], precision: Precision) -> None:
        self._model = model
        self._config = ids = model.model.config
        self._codes = ids.talker_config
        self._dtype, self._tables = precision.dtype, tables
        talker = model.model.talker
        self._text_table: Tensor = talker.get_text_embeddings().weight.detach()
        self._project = _Projection(talker.text_projection, precision)
        marks = self._text([ids.tts_bos_token_id, ids.tts_eos_token_id, ids.tts_pad_token_id])
        self._begin, self._end, self._pad = marks[:1], marks[1:2], marks[2:]

    def build(self, request: SynthesisRequest, clone: VoiceClonePromptItem | None) -> Prompt:
        """Build the prompt of one request."""
        text = self._tokens(f"{_assistant_turn(request.text)}<|im_start|>assistant\n")
        role, spoken = text[:3], text[3:-5]
        codes = self._opening_codes(request, clone)
        lead = torch.cat([self._pad.expand(len(codes) - 2, -1), self._begin]) + codes[:-1]
        reference = clone.ref_code if clone is not None and clone.icl_mode else None
        audio = codes[-1:]
        if clone is not None and reference is not None:
            # In-context learning: the reference's text and codes go before ours. A frame [16] is
            # embedded as the sum of its codes' embeddings.
            spoken = self._tokens(_assistant_turn(clone.ref_text or ""))[3:-2] + spoken
            own = [F.embedding(reference[:, i], table) for i, table in enumerate(self._tables)]
            audio = torch.cat([audio, torch.stack(own).to(self._dtype).sum(0)])
        written = torch.cat([self._text(spoken), self._end])
        streams = clone is not None if request.streams_text is None else request.streams_text
        body, trailing = (self._interleaved if streams else self._text_then_codes)(written, audio)
        embeds = torch.cat([self._instructions(request), self._text(role), lead, body])
        return Prompt(embeds, trailing, self._pad[0], reference)

    def _text_then_codes(self, text: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """All of the text, then the codes; nothing trails."""
        silent = self._code(self._codes.codec_pad_id)
        return torch.cat([text + silent, self._pad + audio]), self._pad

    def _interleaved(self, text: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """A token of text with each code; the remaining text trails."""
        if len(text) > len(audio):
            return text[: len(audio)] + audio, text[len(audio) :]
        silent = self._pad.expand(len(audio) - len(text), -1)
        return torch.cat([text, silent]) + audio, self._pad

    def _opening_codes(
        self, request: SynthesisRequest, clone: VoiceClonePromptItem | None
    ) -> Tensor:
        """Language tag, speaker, pad and begin: [4 to 7, hidden]."""
        ids, language = self._codes, self._language(request)
        if language is None:
            tag = [ids.codec_nothink_id, ids.codec_think_bos_id, ids.codec_think_eos_id]
        else:
            tag = [ids.codec_think_id, ids.codec_think_bos_id, language, ids.codec_think_eos_id]
        speaker = []
        if clone is not None:
            speaker = [clone.ref_spk_embedding.to(self._dtype).view(1, -1)]
        elif request.speaker:
            speaker = [self._code(ids.spk_id[request.speaker.lower()])]
        return torch.cat(
            [self._code(*tag), *speaker, self._code(ids.codec_pad_id, ids.codec_bos_id)]
        )

    def _language(self, request: SynthesisRequest) -> int | None:
        language, ids = request.language.lower(), self._codes
        if request.speaker and language in ("chinese", "auto"):
            dialect = ids.spk_is_dialect[request.speaker.lower()]
            if dialect:
                return int(ids.codec_language_id[dialect])
        return None if language == "auto" else int(ids.codec_language_id[language])

    def _instructions(self, request: SynthesisRequest) -> Tensor:
        # qwen-tts drops the instructions of the 0.6B custom voice model.
        ignores_instructions = (
            request.task is Task.CUSTOM_VOICE and self._config.tts_model_size == "0b6"
        )
        if not request.instruct or ignores_instructions:
            return self._pad[:0]
        return self._text(self._tokens(f"<|im_start|>user\n{request.instruct}<|im_end|>\n"))

    def _tokens(self, text: str) -> list[int]:
        return list(self._model.processor.tokenizer(text)["input_ids"])

    def _text(self, tokens: list[int]) -> Tensor:
        ids = torch.tensor(tokens, dtype=torch.long, device=self._text_table.device)
        return self._project(F.embedding(ids, self._text_table).to(self._dtype))

    def _code(self, *ids: int) -> Tensor:
        codes = torch.tensor(ids, dtype=torch.long, device=self._text_table.device)
        return F.embedding(codes, self._tables[0]).to(self._dtype)


class _Projection:
    """From what a text is embedded in to the talker's width."""

    def __init__(self, module: Any, precision: Precision) -> None:
        self._widen = linear(module.linear_fc1, precision=precision)
        self._narrow = linear(module.linear_fc2, precision=precision)
        self._activate = module.act_fn

    def __call__(self, x: Tensor) -> Tensor:
        wide: Tensor = self._activate(self._widen(x))
        return self._narrow(wide)


def _assistant_turn(text: str) -> str:
    return f"<|im_start|>assistant\n{text}<|im_end|>\n"
