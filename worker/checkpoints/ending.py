"""The end of speech: never in a full size, and in `tiny` at a length that follows the text's.

Random weights alone end speech after any number of frames. Two channels of the tiny talker's
hidden state are therefore kept out of the noise and count instead:

- MARK_CHANNEL: each frame carries +1 (from the `tts_pad` text token beside its codes), each text
  token -TEXT_MARK (from the `codec_pad` code beside it), everything else 0.
- END_CHANNEL: the first attention head of the first layer looks at all positions alike, so that it
  averages the marks, and writes that here. Only the EOS row of the head reads it.

The gains are such that EOS wins when the average is about 0.15: after about 0.8 frames a byte of
text, give or take what the noise does to the strongest other code. Fed step by step
(`non_streaming_mode=False`) text tokens bear no mark, and it is 1.2 frames a byte. A reference
recording counts as frames and its transcript as their text: with a transcript far too short for
the recording, speech ends at once.
"""

from __future__ import annotations

import re

from torch import Tensor

from worker.checkpoints.configs import CODEC_EOS, CODEC_PAD, FIRST_SPECIAL_CODE, Config
from worker.checkpoints.weights import Weights

MARK_CHANNEL, END_CHANNEL = 0, 1
TEXT_MARK = 0.5
# The weights whose outputs, or whose inputs, are the talker's hidden state.
_WRITER_PATTERN = re.compile(
    r"^talker\.model\.layers.*(o_proj|down_proj)|text_projection\.linear_fc2|speaker_encoder\.fc"
)
_READER_PATTERN = re.compile(r"(codec_embedding(\.\d+)?|text_embedding|codec_head)\.weight$")
_WRITE_GAIN = 24.0
_READ_GAIN = 48.0


def never_end(weights: Weights) -> None:
    """Give EOS the logit 0, which lies below the 50 best of 2,048 random ones."""
    weights["talker.codec_head.weight"][CODEC_EOS] = 0


def end_with_text(weights: Weights, config: Config) -> None:
    """Wire the two channels up, in place; `config` is the model's `config.json`."""
    for name, tensor in weights.items():
        if _WRITER_PATTERN.search(name):
            tensor[[MARK_CHANNEL, END_CHANNEL]] = 0
        elif _READER_PATTERN.search(name):
            tensor[:, [MARK_CHANNEL, END_CHANNEL]] = 0
    _mark_tokens(weights, config["tts_pad_token_id"])
    _average_marks(weights, config["talker_config"]["head_dim"])
    eos = weights["talker.codec_head.weight"][CODEC_EOS]
    eos.zero_()
    eos[END_CHANNEL] = _READ_GAIN
    for name in ("talker.model.norm.weight", "talker.model.layers.0.input_layernorm.weight"):
        weights[name][[MARK_CHANNEL, END_CHANNEL]] = 1


def _mark_tokens(weights: Weights, tts_pad: int) -> None:
    weights["talker.model.text_embedding.weight"][tts_pad, MARK_CHANNEL] = 1
    first, second = (weights[f"talker.text_projection.linear_fc{n}.weight"] for n in (1, 2))
    first[MARK_CHANNEL] = 0
    first[MARK_CHANNEL, MARK_CHANNEL] = 10  # silu(10) is 10, and silu(0) is 0
    second[MARK_CHANNEL, MARK_CHANNEL] = 0.1
    weights["talker.text_projection.linear_fc1.bias"][MARK_CHANNEL] = 0
    # Codes that are no speech stand beside `tts_pad` too, and so does a cloned speaker.
    codes: Tensor = weights["talker.model.codec_embedding.weight"]
    codes[FIRST_SPECIAL_CODE:, MARK_CHANNEL] = -1
    codes[CODEC_PAD, MARK_CHANNEL] = -TEXT_MARK
    if "speaker_encoder.fc.bias" in weights:
        weights["speaker_encoder.fc.bias"][MARK_CHANNEL] = -1


def _average_marks(weights: Weights, head_dim: int) -> None:
    attention = "talker.model.layers.0.self_attn"
    weights[f"{attention}.q_proj.weight"][:head_dim] = 0  # no query: every score is 0
    value = weights[f"{attention}.v_proj.weight"]
    value[0] = 0
    value[0, MARK_CHANNEL] = 1
    weights[f"{attention}.o_proj.weight"][END_CHANNEL, 0] = _WRITE_GAIN
