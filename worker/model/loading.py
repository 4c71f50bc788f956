"""Loads a checkpoint for inference; an error says in one sentence what to do."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars
from safetensors import SafetensorError, safe_open
from torch import nn

from shared.errors import QueueError
from shared.models import is_folder
from worker.engine.qwen import Qwen3TTSModel
from worker.model.cpu import set_up_cpu

_log = logging.getLogger(__name__)

_RECOVERY_ADVICE = "copy or download it again"


class ModelUnavailable(QueueError):
    """Raised when a checkpoint cannot be found, downloaded or loaded; says what to do."""

    code = "model_unavailable"


def load_model(
    source: str,
    *,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    threads: int | None = None,
) -> Qwen3TTSModel:
    """Load a checkpoint for inference: no gradients, evaluation mode, CPU threads set.

    `source` is a folder or a Hugging Face id. Without a `dtype` the weights keep the stored one:
    on a CPU they stay in the file, mapped into memory. `threads` defaults to the physical cores
    that this process may use. Nothing else differs from a plain `Qwen3TTSModel.from_pretrained`.
    Raises `ModelUnavailable` when the checkpoint is missing or broken.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(f"there is no {device} device here: use cpu")
    threads = set_up_cpu(threads)
    _log.info("Loading %s (%s, %d threads)…", source, device, threads)
    started = time.perf_counter()
    folder = find_checkpoint(source)
    stored = _check_folder(folder)
    model = _load(folder, device, dtype)
    _freeze(model, stored, folder)
    if device == "cpu" and dtype is None:
        _remap_embedding(model.model.talker.model.text_embedding, folder)
    _log.info("Successfully loaded %s in %.1f s", source, time.perf_counter() - started)
    return model


def find_checkpoint(source: str) -> Path:
    """Return the folder of a checkpoint, downloaded when it is a Hugging Face id.

    Raises `ModelUnavailable`.
    """
    if not is_folder(source):
        if "/" not in source:
            raise ModelUnavailable(
                f"there is no model {source!r}: use a short name such as 0.6B-CustomVoice or demo,"
                " a Hugging Face id (owner/name), or a local folder"
            )
        return _download(source)
    path = Path(source).expanduser()
    if not path.is_dir():
        raise ModelUnavailable(f"there is no folder {source!r}: check --model")
    return path


def _download(repo: str) -> Path:
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        return Path(snapshot_download(repo))
    except HFValidationError as error:
        raise ModelUnavailable(
            f"{repo!r} is neither a folder here nor a Hugging Face id: check --model"
        ) from error
    except GatedRepoError as error:
        raise ModelUnavailable(
            f"{repo!r} asks for a login: accept its terms on huggingface.co and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"{repo!r} is not on huggingface.co, or private: check --model, or set HF_TOKEN"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelUnavailable(
            f"cannot download {repo!r} (no network?): connect once, or pass --model with a local"
            " folder of it"
        ) from error


def _check_folder(folder: Path) -> set[str]:
    """Return the names of the model's stored tensors; also finds files that are cut short."""
    config = folder / "config.json"
    if not config.is_file():
        raise ModelUnavailable(
            f"{folder} has no config.json, so it is no checkpoint: check --model"
        )
    try:
        model_type = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise ModelUnavailable(f"{config} is not valid JSON: {_RECOVERY_ADVICE}") from error
    if model_type != "qwen3_tts":
        raise ModelUnavailable(f"{folder} holds a {model_type} model, not a Qwen3-TTS one")
    for name in ("speech_tokenizer/config.json", "generation_config.json"):
        if not (folder / name).is_file():
            raise ModelUnavailable(f"{folder} has no {name}: {_RECOVERY_ADVICE}")
    codec = _stored_tensors(folder / "speech_tokenizer")
    return {f"codec {name}" for name in codec} | _stored_tensors(folder)


def _stored_tensors(folder: Path) -> set[str]:
    """The tensor names in a folder's safetensors files, read from their headers."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelUnavailable(f"{folder} has no weights (model.safetensors): {_RECOVERY_ADVICE}")
    names: set[str] = set()
    for path in files:
        try:
            with safe_open(path, "pt") as tensors:
                names |= set(tensors.keys())
        except (OSError, SafetensorError) as error:
            raise ModelUnavailable(f"{path} is damaged or cut short: {_RECOVERY_ADVICE}") from error
    return names


def _load(folder: Path, device: str, dtype: torch.dtype | None) -> Qwen3TTSModel:
    try:
        return Qwen3TTSModel.from_pretrained(str(folder), dtype=dtype or "auto", device_map=device)
    except torch.OutOfMemoryError as error:
        raise ModelUnavailable(f"{device} has too little memory for {folder}") from error
    except Exception as error:  # a broken checkpoint makes the libraries raise anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelUnavailable(
            f"{folder} cannot be loaded ({reason[0]}): {_RECOVERY_ADVICE}"
        ) from error


def _remap_embedding(embedding: nn.Module, folder: Path) -> None:
    """Re-map the text embedding on its own, so that the rest of the file can be unmapped."""
    name = "talker.model.text_embedding.weight"
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 - not a dictionary
                embedding.weight.data = tensors.get_tensor(name)


def _freeze(model: Qwen3TTSModel, stored: set[str], folder: Path) -> None:
    codec: nn.Module = model.model.speech_tokenizer.model
    talker: nn.Module = model.model
    needed = {f"codec {name}" for name in codec.state_dict()} | set(talker.state_dict())
    if missing := sorted(needed - stored):
        # transformers would go on with random numbers in their place.
        raise ModelUnavailable(
            f"{folder} lacks {len(missing)} tensors, {missing[0]!r} among them: {_RECOVERY_ADVICE}"
        )
    for module in (talker, codec):
        module.eval().requires_grad_(False)
