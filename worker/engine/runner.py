"""Runs a batch of requests through qwen-tts, whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.request import (
    FRAME_SAMPLES,
    Reference,
    Samples,
    SynthesisRequest,
    Task,
    Utterance,
)

CLONE_PROMPTS = 64


class QwenRunner:
    """A qwen-tts model behind the engine's `Runner` interface; keeps recent voice clone prompts."""

    def __init__(self, model: Qwen3TTSModel) -> None:
        self._model = model
        self._codec = _CodecTap(model.model.speech_tokenizer)
        model.model.speech_tokenizer = self._codec
        self._prompts: OrderedDict[str, VoiceClonePromptItem] = OrderedDict()

    @torch.inference_mode()
    def run(self, requests: Sequence[SynthesisRequest]) -> list[Utterance]:
        """Speak compatible requests as one batch, in their order."""
        seed = requests[0].sampling.seed
        # Without a seed the stream must not go on from an earlier request's.
        torch.manual_seed(seed) if seed is not None else torch.seed()
        samples = self._generate(list(requests))
        codes = self._codec.codes
        return [_cut(*row) for row in zip(requests, samples, codes, strict=True)]

    def _generate(self, requests: list[SynthesisRequest]) -> list[Samples]:
        """One qwen-tts call; float32 [n] for each request."""
        options = _options(requests)
        match requests[0].task:
            case Task.CUSTOM_VOICE:
                options["speaker"] = [request.speaker for request in requests]
                options["instruct"] = [request.instruct or "" for request in requests]
                generate = self._model.generate_custom_voice
            case Task.VOICE_DESIGN:
                options["instruct"] = [request.instruct or "" for request in requests]
                generate = self._model.generate_voice_design
            case Task.VOICE_CLONE:
                references = [r.reference for r in requests if r.reference is not None]
                options["voice_clone_prompt"] = [self._prompt(ref) for ref in references]
                generate = self._model.generate_voice_clone
        samples: list[Samples] = generate(**options)[0]
        return samples

    def _prompt(self, reference: Reference) -> VoiceClonePromptItem:
        """Encode a reference once; the most recent ones are kept."""
        if reference.key not in self._prompts:
            (self._prompts[reference.key],) = self._model.create_voice_clone_prompt(
                (reference.samples, reference.sample_rate),
                ref_text=reference.text,
                x_vector_only_mode=reference.text is None,
            )
        self._prompts.move_to_end(reference.key)
        while len(self._prompts) > CLONE_PROMPTS:
            self._prompts.popitem(last=False)
        return self._prompts[reference.key]


class _CodecTap:
    """The speech tokenizer, remembering the codes that it last decoded.

    qwen-tts's public calls return only audio; this is where its codes pass.
    """

    def __init__(self, codec: Any) -> None:
        self._codec = codec
        self.codes: list[torch.Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, encoded: list[dict[str, torch.Tensor]]) -> Any:
        self.codes = [item["audio_codes"] for item in encoded]
        return self._codec.decode(encoded)


def _options(requests: list[SynthesisRequest]) -> dict[str, Any]:
    """The arguments that every kind of qwen-tts call takes; None falls back to its defaults."""
    sampling = {k: v for k, v in vars(requests[0].sampling).items() if k != "seed"}
    return {
        **sampling,
        "text": [request.text for request in requests],
        "language": [request.language for request in requests],
        # qwen-tts makes one frame less than it makes tokens.
        "max_new_tokens": max(request.max_frames for request in requests) + 1,
    }


def _cut(request: SynthesisRequest, samples: Samples, codes: torch.Tensor) -> Utterance:
    """Cut a row to its own bound: a batch runs to the longest one's.

    The codec is causal, so the samples that stay are those of the frames that stay. A speech that
    ends by itself just at the bound counts as cut: qwen-tts does not tell the two apart.
    """
    frames = min(len(samples) // FRAME_SAMPLES, request.max_frames)
    own = codes[-(len(samples) // FRAME_SAMPLES) :][:frames]  # a clone's reference comes first
    return Utterance(
        np.ascontiguousarray(samples[: frames * FRAME_SAMPLES], dtype=np.float32),
        own.cpu().numpy(),
        "length" if frames == request.max_frames else "stop",
    )
