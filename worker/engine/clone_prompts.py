"""Voice clone prompts: encoded once for each reference, and kept for saved voices."""

from __future__ import annotations

import hashlib
import logging
from functools import cache, partial
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.request import CODE_GROUPS, Reference
from worker.engine.single_flight_lru import SingleFlightLRU

MAX_PROMPTS = 64
# To be changed whenever prompts are made or written in another way.
PROMPT_VERSION = "1"
SPEAKER_KEY, CODES_KEY = "speaker_embedding", "reference_codes"
_log = logging.getLogger(__name__)


class PromptStore(Protocol):
    """Keeps prompts of saved voices for every engine; it never fails, but may forget."""

    def load(self, voice: str, name: str) -> bytes | None:
        """The content saved under a name for a voice, or None."""
        ...

    def save(self, voice: str, name: str, content: bytes) -> None:
        """Save content under a name for a voice."""
        ...


class ClonePrompts:
    """The prompts of the most recent references, by content; may be used from any thread.

    Those of saved voices are in the store, too, so that other workers need not encode them again.
    """

    def __init__(self, model: Qwen3TTSModel, store: PromptStore | None = None) -> None:
        self._model = model
        self._store = store
        self._hash_encoder = cache(partial(hash_encoder, model))
        self._recent: SingleFlightLRU[VoiceClonePromptItem] = SingleFlightLRU(MAX_PROMPTS)

    def get(self, reference: Reference) -> VoiceClonePromptItem:
        """Return the prompt of a reference, encoding it if it is new."""
        return self._recent.get(reference.key, lambda: self._find(reference))

    def _find(self, reference: Reference) -> VoiceClonePromptItem:
        if self._store is None or reference.voice is None:
            return self._encode(reference)
        name = prompt_name(self._hash_encoder(), reference)
        stored = self._store.load(reference.voice, name)
        found = stored and parse_prompt(stored, reference.text, self._model)
        if found:
            return found
        prompt = self._encode(reference)
        self._store.save(reference.voice, name, serialise_prompt(prompt))
        return prompt

    @torch.inference_mode()
    def _encode(self, reference: Reference) -> VoiceClonePromptItem:
        (prompt,) = self._model.create_voice_clone_prompt(
            (reference.samples, reference.sample_rate),
            ref_text=reference.text,
            x_vector_only_mode=reference.text is None,
        )
        return prompt


def hash_encoder(model: Qwen3TTSModel) -> str:
    """The hash of all weights that make prompts: equal hashes, equal prompts.

    Two precisions are two only if they hold the speaker encoder in different ones: float32 and
    int8 are the same here, bfloat16 is not.
    """
    found = hashlib.sha256(PROMPT_VERSION.encode())
    for part in (model.model.speaker_encoder, model.model.speech_tokenizer.model.encoder):
        for key, tensor in sorted(part.state_dict().items()):
            found.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def prompt_name(encoder_hash: str, reference: Reference) -> str:
    """The name under which the prompt that a model makes of a reference is stored."""
    return hashlib.sha256(f"{encoder_hash} {reference.key}".encode()).hexdigest()[:32]


def serialise_prompt(prompt: VoiceClonePromptItem) -> bytes:
    """A prompt as bytes (safetensors); without codes it is of the speaker's timbre only."""
    tensors = {SPEAKER_KEY: prompt.ref_spk_embedding}
    if prompt.ref_code is not None:
        tensors[CODES_KEY] = prompt.ref_code
    return save({key: tensor.cpu().contiguous() for key, tensor in tensors.items()})


def parse_prompt(
    content: bytes, text: str | None, model: Qwen3TTSModel
) -> VoiceClonePromptItem | None:
    """The prompt in bytes of `serialise_prompt`, with its transcript; None if they are damaged."""
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        _log.warning("A stored voice prompt cannot be read, and is made anew: %s", error)
        return None
    speaker, codes = tensors.get(SPEAKER_KEY), tensors.get(CODES_KEY)
    if speaker is None or not _fit(speaker, codes, model) or (codes is None) != (text is None):
        _log.warning("A stored voice prompt is none of this model, and is made anew")
        return None
    return VoiceClonePromptItem(
        ref_code=None if codes is None else codes.to(model.device),
        ref_spk_embedding=speaker.to(model.device),
        x_vector_only_mode=text is None,
        icl_mode=text is not None,
        ref_text=text,
    )


def _fit(speaker: Tensor, codes: Tensor | None, model: Qwen3TTSModel) -> bool:
    """True if shape and values are those of this model's prompts."""
    width = model.model.config.speaker_encoder_config.enc_dim
    size = model.model.speech_tokenizer.model.config.encoder_config.codebook_size
    if speaker.shape != (width,) or not speaker.isfinite().all():
        return False
    if codes is None:
        return True
    is_table = codes.ndim == 2 and codes.shape[1] == CODE_GROUPS and codes.dtype == torch.long
    return is_table and bool(((codes >= 0) & (codes < size)).all())
