"""Loads a checkpoint for inference, or says in one sentence why it cannot."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
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
from torch import nn

from worker.engine.cpu import set_up_cpu
from worker.engine.errors import ModelUnavailable
from worker.engine.qwen import Qwen3TTSModel

logger = logging.getLogger(__name__)

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_AGAIN = "copy or download it again"


def load_model(
    source: str,
    *,
    device: str = "cpu",
    precision: str | None = None,
    threads: int | None = None,
) -> Qwen3TTSModel:
    """Load a checkpoint for inference: no gradients, evaluation mode, CPU threads set.

    `source` is a folder or a Hugging Face id. `precision` is float32 or bfloat16; without it,
    float32 on CPU and bfloat16 on CUDA. `threads` defaults to the physical cores that this process
    may use. Nothing else differs from a plain `Qwen3TTSModel.from_pretrained`. Raises
    `ModelUnavailable` when the checkpoint is missing or broken, and `ValueError` for an unknown
    precision.
    """
    precision = precision or ("bfloat16" if device.startswith("cuda") else "float32")
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: choose {' or '.join(PRECISIONS)}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(f"there is no {device} device here: use cpu")
    threads = set_up_cpu(threads)
    logger.info("Loading %s (%s, %s, %d threads)…", source, device, precision, threads)
    started = time.perf_counter()
    folder = find_checkpoint(source)
    stored = _check_folder(folder)
    model = _load(folder, device, PRECISIONS[precision])
    _freeze(model, stored, folder)
    logger.info("Successfully loaded %s in %.1f s", source, time.perf_counter() - started)
    return model


def find_checkpoint(source: str) -> Path:
    """Return the folder of a checkpoint, downloaded when it is a Hugging Face id.

    What starts with `.`, `/` or `~` and what is a folder here is a path, anything else an id.
    Raises `ModelUnavailable`.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if source.startswith((".", os.sep, "~")):
        raise ModelUnavailable(f"there is no folder {source!r}: check --model")
    return _download(source)


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
        raise ModelUnavailable(f"{config} is not valid JSON: {_AGAIN}") from error
    if model_type != "qwen3_tts":
        raise ModelUnavailable(f"{folder} holds a {model_type} model, not a Qwen3-TTS one")
    for name in ("speech_tokenizer/config.json", "generation_config.json"):
        if not (folder / name).is_file():
            raise ModelUnavailable(f"{folder} has no {name}: {_AGAIN}")
    codec = set(_stored_tensors(folder / "speech_tokenizer"))
    return {f"codec {name}" for name in codec} | set(_stored_tensors(folder))


def _stored_tensors(folder: Path) -> Iterator[str]:
    """Yield the tensor names from the headers of a folder's safetensors files.

    Such a file is 8 bytes of header length, the header in JSON, and the tensors; see
    https://huggingface.co/docs/safetensors.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelUnavailable(f"{folder} has no weights (model.safetensors): {_AGAIN}")
    for path in files:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > path.stat().st_size:
                    raise ValueError("the header is longer than the file")
                tensors = json.loads(file.read(length))
            tensors.pop("__metadata__", None)
            end = max(tensor["data_offsets"][1] for tensor in tensors.values())
            if path.stat().st_size != 8 + length + end:
                raise ValueError("the size does not fit the header")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelUnavailable(f"{path} is damaged or cut short: {_AGAIN}") from error
        yield from tensors


def _load(folder: Path, device: str, dtype: torch.dtype) -> Qwen3TTSModel:
    try:
        return Qwen3TTSModel.from_pretrained(str(folder), dtype=dtype, device_map=device)
    except torch.OutOfMemoryError as error:
        raise ModelUnavailable(f"{device} has too little memory for {folder}") from error
    except Exception as error:  # whatever a broken checkpoint makes the libraries raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelUnavailable(f"{folder} cannot be loaded ({reason[0]}): {_AGAIN}") from error


def _freeze(model: Qwen3TTSModel, stored: set[str], folder: Path) -> None:
    codec: nn.Module = model.model.speech_tokenizer.model
    talker: nn.Module = model.model
    needed = {f"codec {name}" for name in codec.state_dict()} | set(talker.state_dict())
    if missing := sorted(needed - stored):
        # transformers would go on with random numbers in their place.
        raise ModelUnavailable(
            f"{folder} lacks {len(missing)} tensors, {missing[0]!r} among them: {_AGAIN}"
        )
    for module in (talker, codec):
        module.eval().requires_grad_(False)
