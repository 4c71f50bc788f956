"""Voice clone prompts as bytes (safetensors), and the names under which they may be found again."""

from __future__ import annotations

import hashlib
import logging

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.request import CODE_GROUPS, Reference

# To be changed whenever prompts are made or written in another way.
VERSION = "1"
SPEAKER, CODES = "speaker_embedding", "reference_codes"
_log = logging.getLogger(__name__)


def encoder(model: Qwen3TTSModel) -> str:
    """The hash of all weights that make prompts: equal hashes, equal prompts.

    Two precisions are two only if they hold the speaker encoder in different ones: float32 and
    int8 are the same here, bfloat16 is not.
    """
    found = hashlib.sha256(VERSION.encode())
    for part in (model.model.speaker_encoder, model.model.speech_tokenizer.model.encoder):
        for key, tensor in sorted(part.state_dict().items()):
            found.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def name(encoder: str, reference: Reference) -> str:
    """The name of the prompt that a model makes of a reference."""
    return hashlib.sha256(f"{encoder} {reference.key}".encode()).hexdigest()[:32]


def write(prompt: VoiceClonePromptItem) -> bytes:
    """A prompt as bytes; without codes it is of the speaker's timbre only."""
    tensors = {SPEAKER: prompt.ref_spk_embedding}
    if prompt.ref_code is not None:
        tensors[CODES] = prompt.ref_code
    return save({key: tensor.cpu().contiguous() for key, tensor in tensors.items()})


def read(content: bytes, text: str | None, model: Qwen3TTSModel) -> VoiceClonePromptItem | None:
    """The prompt that such bytes hold, with what is said in it; None if they are damaged."""
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        _log.warning("A stored voice prompt cannot be read, and is made anew: %s", error)
        return None
    speaker, codes = tensors.get(SPEAKER), tensors.get(CODES)
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
