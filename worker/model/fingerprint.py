"""The fingerprint of a checkpoint: another one for other weights under the same name."""

from __future__ import annotations

import hashlib
from pathlib import Path

# Of each file, 64 blocks at equal distances are read: all of a small one, 4 MiB of a large one.
BLOCK_BYTES, BLOCKS = 64 * 1024, 64
# Settings that change what is spoken, beside the weights.
CONFIG_FILES = ("config.json", "generation_config.json", "speech_tokenizer/config.json")
DIGITS = 16


def fingerprint(folder: Path) -> str:
    """16 hexadecimal digits for the weights and configuration in a folder; raises `OSError`.

    It covers each file's name, size, first block (names and shapes of its tensors) and samples of
    its content. A file that differs between the samples only is not noticed: fine-tuning changes
    nearly every block.
    """
    digest = hashlib.sha256()
    weights = sorted(folder.rglob("*.safetensors"))
    for path in (*weights, *(folder / name for name in CONFIG_FILES)):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()[:DIGITS]


def _blocks(path: Path) -> list[bytes]:
    """The blocks of a file that are compared: the first, the last, and those between."""
    last = max(0, path.stat().st_size - BLOCK_BYTES)
    starts = sorted({last * number // (BLOCKS - 1) for number in range(BLOCKS)})
    blocks = []
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            blocks.append(file.read(BLOCK_BYTES))
    return blocks
