"""The memory that a checkpoint's weights take once they are loaded, from its files' headers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from worker.engine.precision import Precision
from worker.model.loading import ModelUnavailable

GIB = 2**30
# Bytes of a number as it is stored, by safetensors' name of its type.
STORED_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "I8": 1}
# Tables are only looked up, and keep their stored type.
TABLE_SUFFIXES = ("text_embedding.weight", "codec_embedding.weight")
TABLE_PART = ".codec_embedding."
PRODUCT_BYTES = {Precision.FLOAT32: 4, Precision.BFLOAT16: 2, Precision.INT8: 1}
# Between the products of int8, and in the codec, all is float32.
FLOAT32_BYTES = 4


def weight_bytes(folder: Path, precision: Precision) -> int:
    """The bytes of a checkpoint's weights in a precision, from the number of its parameters.

    A layer that is compiled may take less, if it keeps its weights as they are stored. Caches,
    which grow with what is spoken, are not in it. Raises `ModelUnavailable` if the folder cannot be
    read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        is_base = config.get("tts_model_type") == "base"
        talker = sum(
            _talker_bytes(name, shape, stored, precision)
            for name, shape, stored in _tensors(folder)
        )
        codec = sum(
            FLOAT32_BYTES * math.prod(shape)
            for name, shape, _stored in _tensors(folder / "speech_tokenizer")
            # Only clones have something to encode.
            if is_base or not name.startswith("encoder.")
        )
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        raise ModelUnavailable(f"{folder} cannot be read ({error}): copy it again") from error
    return talker + codec


def in_gib(size_bytes: float) -> str:
    """A size for people: `2.64 GiB`."""
    return f"{size_bytes / GIB:.2f} GiB"


def _tensors(folder: Path) -> Iterator[tuple[str, list[int], str]]:
    """The name, shape and stored type of each tensor in a folder's safetensors files."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dictionary
                part = tensors.get_slice(name)
                yield name, part.get_shape(), part.get_dtype()


def _talker_bytes(name: str, shape: list[int], stored: str, precision: Precision) -> int:
    numbers = math.prod(shape)
    if name.endswith(TABLE_SUFFIXES) or TABLE_PART in name:
        return numbers * STORED_BYTES.get(stored, FLOAT32_BYTES)
    if precision is Precision.INT8 and len(shape) < 2:
        return numbers * FLOAT32_BYTES
    if precision is Precision.BFLOAT16 and stored != "BF16":
        # They may be computed in float32, as they are (`worker.engine.parts`).
        return numbers * FLOAT32_BYTES
    return numbers * PRODUCT_BYTES[precision]
