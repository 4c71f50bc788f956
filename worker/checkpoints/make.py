"""Writes a whole checkpoint folder at once, or nothing."""

from __future__ import annotations

import filecmp
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from worker.checkpoints import codec_configs, configs, ending, tokenizer
from worker.checkpoints.weights import Weights, random_weights
from worker.engine.qwen import (
    Qwen3TTSConfig,
    Qwen3TTSForConditionalGeneration,
    Qwen3TTSTokenizerV2Config,
    Qwen3TTSTokenizerV2Model,
)


def make_checkpoint(size: str, kind: str, folder: Path, seed: int = 0) -> Path:
    """Make a checkpoint with random weights in `folder` and return it.

    The folder appears when it is whole: it is built beside its place and renamed. When another
    process made the same one meanwhile, that one stays. Raises `ValueError` for an unknown size or
    kind and `FileExistsError` when `folder` holds anything else.
    """
    configs.check_exists(size, kind)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder: choose another one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        _write_model(draft, size, kind, seed)
        _write_codec(draft / "speech_tokenizer", size, seed)
        _put_in_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _put_in_place(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError as error:
        names = ["config.json", "model.safetensors"]
        same, _, _ = filecmp.cmpfiles(draft, folder, names, shallow=False)
        if same != names:
            raise FileExistsError(f"{folder} was filled meanwhile: choose another one") from error


def _write_model(folder: Path, size: str, kind: str, seed: int) -> None:
    folder.mkdir()
    config = configs.model_config(size, kind)
    _write_json(folder / "config.json", complete(Qwen3TTSConfig, config))
    _write_json(folder / "generation_config.json", configs.GENERATION_CONFIG)
    _write_json(folder / "preprocessor_config.json", configs.PREPROCESSOR_CONFIG)
    _write_json(folder / "vocab.json", tokenizer.vocabulary(size))
    _write_json(folder / "tokenizer_config.json", tokenizer.tokenizer_config(size))
    (folder / "merges.txt").write_text(tokenizer.merges_text(), encoding="utf-8")
    _save(folder, model_weights(config, seed))


def model_weights(config: configs.Config, seed: int) -> Weights:
    """Return the bfloat16 weights of the model with this `config.json`."""
    with torch.device("meta"):
        model = Qwen3TTSForConditionalGeneration(Qwen3TTSConfig(**config))
    weights = random_weights(model, seed, torch.bfloat16)
    # A speaker or a tag stands alone where a frame is the sum of 16 codes.
    weights["talker.model.codec_embedding.weight"][configs.FIRST_SPECIAL_CODE :] *= 4
    if config["tts_model_size"] == "tiny":
        ending.end_with_text(weights, config)
    else:
        ending.never_end(weights)
    return weights


def _write_codec(folder: Path, size: str, seed: int) -> None:
    folder.mkdir()
    config = codec_configs.codec_config(size)
    _write_json(folder / "config.json", complete(Qwen3TTSTokenizerV2Config, config))
    _write_json(folder / "configuration.json", codec_configs.CONFIGURATION)
    _write_json(folder / "preprocessor_config.json", codec_configs.PREPROCESSOR_CONFIG)
    _save(folder, codec_weights(config, seed))


def codec_weights(config: configs.Config, seed: int) -> Weights:
    """Return the float32 weights of the speech tokenizer with this `config.json`."""
    with torch.device("meta"):
        model = Qwen3TTSTokenizerV2Model(Qwen3TTSTokenizerV2Config(**config))
    weights = random_weights(model, seed, torch.float32)
    wave = weights["decoder.decoder.6.conv.weight"]
    wave -= wave.mean(-1, keepdim=True)  # each channel's offset cancels out
    return weights


def complete(config_class: Any, config: configs.Config) -> configs.Config:
    """A configuration with all defaults, as the released files have: converters read them."""
    found: configs.Config = json.loads(config_class(**config).to_json_string(use_diff=False))
    found.pop("speaker_encoder_config", None)  # qwen-tts refuses what it writes itself there
    found |= {key: value for key, value in config.items() if key == "speaker_encoder_config"}
    if "encoder_config" in found:
        found["encoder_config"]["transformers_version"] = config["transformers_version"]
    return found


def _save(folder: Path, weights: Weights) -> None:
    path = folder / "model.safetensors"
    save_file(weights, path, metadata={"format": "pt"})
    shutil.copymode(folder / "config.json", path)  # safetensors lets the owner alone read it


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
