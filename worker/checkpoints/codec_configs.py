"""The dimensions of the released 12 Hz speech tokenizer and of a tiny one."""

from __future__ import annotations

from worker.checkpoints.configs import Config

CONFIGURATION: Config = {
    "framework": "pytorch",
    "task": "feature-extraction",
    "allow_remote": True,
}
PREPROCESSOR_CONFIG: Config = {
    "chunk_length_s": None,
    "feature_extractor_type": "EncodecFeatureExtractor",
    "feature_size": 1,
    "overlap": None,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 24_000,
}

_DECODER: Config = {
    "latent_dim": 1024,
    "codebook_dim": 512,
    "codebook_size": 2048,
    "semantic_codebook_size": 4096,
    "vector_quantization_hidden_dimension": 512,
    "decoder_dim": 1536,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "head_dim": 64,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "num_hidden_layers": 8,
    "num_quantizers": 16,
    "num_semantic_quantizers": 1,
    "sliding_window": 72,
    "layer_scale_initial_scale": 0.01,
    "max_position_embeddings": 8000,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10_000,
    "upsample_rates": [8, 5, 4, 3],
    "upsampling_ratios": [2, 2],
}
_TINY_DECODER: Config = {
    "latent_dim": 32,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "decoder_dim": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
}
_ENCODER: Config = {
    "_frame_rate": 12.5,
    "audio_channels": 1,
    "codebook_dim": 256,
    "codebook_size": 2048,
    "vector_quantization_hidden_dimension": 256,
    "num_quantizers": 32,
    "num_semantic_quantizers": 1,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "head_dim": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "num_hidden_layers": 8,
    "num_filters": 64,
    "num_residual_layers": 1,
    "normalize": False,
    "upsample_groups": 512,
    "upsampling_ratios": [8, 6, 5, 4],
    "sampling_rate": 24_000,
    "sliding_window": 250,
    "use_causal_conv": True,
    "use_conv_shortcut": False,
    "use_cache": False,
    "use_streaming": False,
    "dtype": "float32",
}
# Its codes have to stay below the code predictor's vocabulary: they become a prompt for it.
_TINY_ENCODER: Config = {
    "codebook_dim": 8,
    "codebook_size": 256,
    "vector_quantization_hidden_dimension": 8,
    "hidden_size": 32,
    "intermediate_size": 64,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "num_filters": 4,
    "upsample_groups": 32,
}


def codec_config(size: str) -> Config:
    """Return `config.json` of the speech tokenizer; both full sizes share one."""
    tiny = size == "tiny"
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_valid_num_quantizers": 16,
        "input_sample_rate": 24_000,
        "output_sample_rate": 24_000,
        "decode_upsample_rate": 1920,
        "encode_downsample_rate": 1920,
        "decoder_config": _DECODER | (_TINY_DECODER if tiny else {}),
        "encoder_config": _ENCODER | (_TINY_ENCODER if tiny else {}),
        "transformers_version": "4.57.3",
    }
