"""The dimensions of the released models and of a tiny one, as the files of a checkpoint.

What is not written here is the default of the configuration classes, which the released models
share.
"""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

CHECKPOINT_SIZES = ("tiny", "0.6B", "1.7B")
CHECKPOINT_KINDS = ("custom_voice", "voice_design", "base")

CODEC_PAD = 2148
CODEC_EOS = 2150
FIRST_SPECIAL_CODE = 2048
FIRST_SPECIAL_TOKEN = {"tiny": 267, "0.6B": 151_643, "1.7B": 151_643}

SPEAKERS = {
    "serena": 3066,
    "vivian": 3065,
    "uncle_fu": 3010,
    "ryan": 3061,
    "aiden": 2861,
    "ono_anna": 2873,
    "sohee": 2864,
    "eric": 2875,
    "dylan": 2878,
}
SPEAKER_DIALECTS = {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}
LANGUAGES = {
    "chinese": 2055,
    "english": 2050,
    "german": 2053,
    "italian": 2070,
    "portuguese": 2071,
    "spanish": 2054,
    "japanese": 2058,
    "korean": 2064,
    "french": 2061,
    "russian": 2069,
}
DIALECTS = {"beijing_dialect": 2074, "sichuan_dialect": 2062}

_HEADS = {
    "tiny": {"head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2},
    "0.6B": {"head_dim": 128, "num_attention_heads": 16, "num_key_value_heads": 8},
    "1.7B": {"head_dim": 128, "num_attention_heads": 16, "num_key_value_heads": 8},
}
_TALKER = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    "0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28},
    "1.7B": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28},
}
_TEXT = {
    "tiny": {"text_hidden_size": 64, "text_vocab_size": 320},
    "0.6B": {"text_hidden_size": 2048, "text_vocab_size": 151_936},
    "1.7B": {"text_hidden_size": 2048, "text_vocab_size": 151_936},
}
# Narrower than the talker in `tiny`, so that it has the projection between them, as 1.7B does.
# Its codes stay below 256, which keeps the 15 embeddings and heads small.
_PREDICTOR = {
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "vocab_size": 256,
    },
    "0.6B": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 5,
        "vocab_size": 2048,
    },
}
_MROPE_SECTION = {"tiny": [4, 2, 2], "0.6B": [24, 20, 20], "1.7B": [24, 20, 20]}
_SPEAKER_ENCODER = {
    "tiny": {
        "enc_channels": [32, 32, 32, 32, 96],
        "enc_attention_channels": 16,
        "enc_res2net_scale": 4,
        "enc_se_channels": 16,
    },
    "0.6B": {},
    "1.7B": {},
}
_MODEL_SIZE = {"tiny": "tiny", "0.6B": "0b6", "1.7B": "1b7"}

GENERATION_CONFIG: Config = {
    "do_sample": True,
    "repetition_penalty": 1.05,
    "temperature": 0.9,
    "top_p": 1.0,
    "top_k": 50,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.9,
    "subtalker_top_p": 1.0,
    "subtalker_top_k": 50,
    "max_new_tokens": 8192,
}
PREPROCESSOR_CONFIG: Config = {
    "padding_side": "left",
    "padding_value": 0.0,
    "processor_class": "Qwen3TTSProcessor",
    "return_attention_mask": True,
}


def check_exists(size: str, kind: str) -> None:
    """Raise `ValueError` for a size or kind that there is none of."""
    if size not in CHECKPOINT_SIZES:
        raise ValueError(f"unknown size {size!r}: choose one of {', '.join(CHECKPOINT_SIZES)}")
    if kind not in CHECKPOINT_KINDS:
        raise ValueError(f"unknown kind {kind!r}: choose one of {', '.join(CHECKPOINT_KINDS)}")
    if (size, kind) == ("0.6B", "voice_design"):
        raise ValueError("voice_design was never released in 0.6B: choose 1.7B or tiny")


def model_config(size: str, kind: str) -> Config:
    """Return `config.json` of a model."""
    first = FIRST_SPECIAL_TOKEN[size]
    config: Config = {
        "architectures": ["Qwen3TTSForConditionalGeneration"],
        "model_type": "qwen3_tts",
        "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": _MODEL_SIZE[size],
        "tts_model_type": kind,
        "assistant_token_id": 77_091 if size != "tiny" else first - 1,
        "im_start_token_id": first + 1,
        "im_end_token_id": first + 2,
        "tts_pad_token_id": first + 28,
        "tts_bos_token_id": first + 29,
        "tts_eos_token_id": first + 30,
        "talker_config": _talker_config(size, kind),
        "transformers_version": "4.57.3",
    }
    if kind == "base":
        config["speaker_encoder_config"] = {
            "enc_dim": _TALKER[size]["hidden_size"],
            "sample_rate": 24_000,
            **_SPEAKER_ENCODER[size],
        }
    return config


def _talker_config(size: str, kind: str) -> Config:
    preset = kind == "custom_voice"
    return {
        **_TALKER[size],
        **_HEADS[size],
        **_TEXT[size],
        "model_type": "qwen3_tts_talker",
        "vocab_size": 3072,
        "num_code_groups": 16,
        "max_position_embeddings": 32_768,
        "position_id_per_seconds": 13,
        "rope_theta": 1_000_000,
        "rope_scaling": {
            "interleaved": True,
            "mrope_section": _MROPE_SECTION[size],
            "rope_type": "default",
            "type": "default",
        },
        "rms_norm_eps": 1e-06,
        "codec_pad_id": CODEC_PAD,
        "codec_bos_id": 2149,
        "codec_eos_token_id": CODEC_EOS,
        "codec_think_id": 2154,
        "codec_nothink_id": 2155,
        "codec_think_bos_id": 2156,
        "codec_think_eos_id": 2157,
        "codec_language_id": LANGUAGES | (DIALECTS if preset else {}),
        "spk_id": SPEAKERS if preset else {},
        "spk_is_dialect": {name: SPEAKER_DIALECTS.get(name, False) for name in SPEAKERS}
        if preset
        else {},
        "code_predictor_config": {
            **_PREDICTOR.get(size, _PREDICTOR["0.6B"]),
            **_HEADS[size],
            "model_type": "qwen3_tts_talker_code_predictor",
            "num_code_groups": 16,
            "max_position_embeddings": 65_536,
            "rope_theta": 1_000_000,
            "rms_norm_eps": 1e-06,
        },
    }
