"""`python -m training.export FOLDER ZIP`: the trained weights as a checkpoint in bfloat16.

`FOLDER/checkpoint` has the files of a released checkpoint and loads wherever those do.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.codec_model import CONFIG as CODEC_CONFIG
from training.layout import FIRST_SIZE, SPEAKERS
from training.talker import write_tokenizer
from training.talker_data import (
    BEGIN,
    ENGLISH,
    EOS,
    NO_THINK,
    PAD,
    SPEAKER_CODES,
    THINK,
    THINK_BEGIN,
    THINK_END,
)
from training.talker_model import (
    CODES,
    PREDICTOR,
    PREDICTOR_CODES,
    TALKER,
    TEXT_SIZE,
    TEXT_WIDTH,
    StackSize,
)
from worker.checkpoints import codec_configs, configs
from worker.checkpoints.make import complete
from worker.engine.qwen import (
    Qwen3TTSConfig,
    Qwen3TTSForConditionalGeneration,
    Qwen3TTSTokenizerV2Config,
    Qwen3TTSTokenizerV2Model,
)
from worker.model import demo_voice

Weights = dict[str, Tensor]

# The voice is surest of itself: a low temperature keeps what little chance there is out of words.
_SAMPLING = {
    "temperature": 0.3,
    "subtalker_temperature": 0.3,
    "top_k": 20,
    "subtalker_top_k": 20,
    "repetition_penalty": 1.0,
}


def export(folder: Path, target: Path) -> None:
    """Write the checkpoint of a training folder to `target`, anew."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    write_tokenizer(target)
    config = _model_config()
    _write(target / "config.json", complete(Qwen3TTSConfig, config))
    _write(target / "generation_config.json", configs.GENERATION_CONFIG | _SAMPLING)
    _write(target / "preprocessor_config.json", configs.PREPROCESSOR_CONFIG)
    _save(target, _model_weights(folder, config))
    codec = target / "speech_tokenizer"
    codec.mkdir()
    codec_config = codec_configs.codec_config("tiny")
    codec_config["decoder_config"] |= CODEC_CONFIG
    _write(codec / "config.json", complete(Qwen3TTSTokenizerV2Config, codec_config))
    _write(codec / "configuration.json", codec_configs.CONFIGURATION)
    _write(codec / "preprocessor_config.json", codec_configs.PREPROCESSOR_CONFIG)
    _save(codec, _codec_weights(folder, codec_config))


def _model_config() -> dict[str, Any]:
    config = configs.model_config("tiny", "custom_voice")
    config["tts_model_size"] = "demo"
    talker = config["talker_config"]
    talker |= _dimensions(TALKER) | {
        "text_hidden_size": TEXT_WIDTH,
        "text_vocab_size": TEXT_SIZE,
        "vocab_size": CODES,
        "codec_pad_id": PAD,
        "codec_bos_id": BEGIN,
        "codec_eos_token_id": EOS,
        "codec_think_id": THINK,
        "codec_nothink_id": NO_THINK,
        "codec_think_bos_id": THINK_BEGIN,
        "codec_think_eos_id": THINK_END,
        "codec_language_id": {"english": ENGLISH},
        "spk_id": SPEAKER_CODES,
        "spk_is_dialect": {speaker.name: False for speaker in SPEAKERS},
    }
    talker["rope_scaling"]["mrope_section"] = [8, 4, 4]
    talker["code_predictor_config"] |= _dimensions(PREDICTOR) | {"vocab_size": PREDICTOR_CODES}
    return config


def _dimensions(size: StackSize) -> dict[str, Any]:
    return {
        "hidden_size": size.width,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head,
        "rope_theta": size.theta,
    }


def _model_weights(folder: Path, config: dict[str, Any]) -> Weights:
    state = torch.load(folder / "talker.pt", weights_only=True)["model"]
    weights = {f"talker.{name}": weight for name, weight in state.items()}
    # Rows that nothing reads are zero: they pack to nothing.
    read = torch.zeros(CODES, dtype=torch.bool)
    read[:FIRST_SIZE] = True
    special = (PAD, BEGIN, EOS, NO_THINK, THINK, THINK_BEGIN, THINK_END, ENGLISH)
    read[[*special, *SPEAKER_CODES.values()]] = True
    for name in ("talker.model.codec_embedding.weight", "talker.codec_head.weight"):
        weights[name] = weights[name] * read[:, None]
    with torch.device("meta"):
        model = Qwen3TTSForConditionalGeneration(Qwen3TTSConfig(**config))
    return _checked(weights, model)


def _codec_weights(folder: Path, config: dict[str, Any]) -> Weights:
    """The decoder's weights; the encoder, which only clones need, stays zero."""
    state = torch.load(folder / "vocoder.pt", weights_only=True)["model"]
    with torch.device("meta"):
        model = Qwen3TTSTokenizerV2Model(Qwen3TTSTokenizerV2Config(**config))
    weights = {name: torch.zeros(one.shape) for name, one in model.state_dict().items()}
    weights |= {f"decoder.{name}": weight for name, weight in state.items()}
    return _checked(weights, model)


def _checked(weights: Weights, model: torch.nn.Module) -> Weights:
    """The weights in bfloat16; raises `ValueError` unless they are those of the model."""
    wanted = {name: one.shape for name, one in model.state_dict().items()}
    found = {name: one.shape for name, one in weights.items()}
    if wanted != found:
        raise ValueError(
            f"other weights than the model's: {set(wanted.items()) ^ set(found.items())}"
        )
    return {name: one.to(torch.bfloat16).contiguous() for name, one in weights.items()}


def _save(folder: Path, weights: Weights) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Export a training folder, and pack it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("packed", type=Path, help="the zip file to write")
    args = parser.parse_args()
    checkpoint = args.folder / "checkpoint"
    export(args.folder, checkpoint)
    demo_voice.pack(checkpoint, args.packed)
    print(f"{checkpoint}, packed as {args.packed}: {args.packed.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
