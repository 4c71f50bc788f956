"""A small text tokenizer in the format of Qwen2's: byte-level BPE with a handful of merges.

Every byte is a token, so that any text has tokens and they decode to it. Merges exist for the two
words of the chat format alone: qwen-tts cuts a prompt by counts, three tokens for
`<|im_start|>assistant` with its line break, five with `<|im_end|>` and its line break before them.

An English text has about four times as many tokens as with the released vocabulary.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from worker.checkpoints.configs import FIRST_SPECIAL_TOKEN

_SPECIAL_TOKEN_NAMES = """
<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|>
<|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|>
<|image_pad|> <|video_pad|> <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|>
<|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response> </tool_response>
<think> </think> <|audio_start|> <|audio_end|> <tts_pad> <tts_text_bos> <tts_text_eod>
<tts_text_bos_single> <|audio_pad|>
"""
_SPECIAL_TOKENS = tuple(_SPECIAL_TOKEN_NAMES.split())
# From <tool_call> to </think>: plain tokens that may be skipped over.
_PLAIN_INDICES = range(14, 26)
_RELEASED_IDS = {"user": 872, "assistant": 77_091}


def vocabulary(size: str) -> dict[str, int]:
    """Return `vocab.json`: the bytes, the merged words, and the special tokens at their ids."""
    first = FIRST_SPECIAL_TOKEN[size]
    # A printable character stands for each byte, in the order of GPT-2's ids.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = [*printable, *range(0x100, 0x200 - len(printable))]
    tokens = [*map(chr, symbols), *(left + right for left, right in merges())]
    # The tokenizer complains of ids without a token; no text can reach these.
    tokens += [f"<|unused_{index}|>" for index in range(len(tokens), first)]
    tokens += _SPECIAL_TOKENS
    if first > _RELEASED_IDS["assistant"]:
        for word, index in _RELEASED_IDS.items():
            old = tokens.index(word)
            tokens[old], tokens[index] = tokens[index], word
    return {token: index for index, token in enumerate(tokens)}


def merges() -> list[tuple[str, str]]:
    """Return the pairs of `merges.txt`, best first: each word grows by one letter a time."""
    return [
        (grown[:-1], grown[-1])
        for word in ("user", "assistant")
        for grown in list(accumulate(word))[1:]
    ]


def merges_text() -> str:
    """Return `merges.txt`."""
    return "".join(f"{left} {right}\n" for left, right in merges())


def tokenizer_config(size: str) -> dict[str, Any]:
    """Return `tokenizer_config.json`."""
    first = FIRST_SPECIAL_TOKEN[size]
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(first + index): {"content": token, **flags, "special": index not in _PLAIN_INDICES}
            for index, token in enumerate(_SPECIAL_TOKENS)
        },
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131_072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "unk_token": None,
    }
