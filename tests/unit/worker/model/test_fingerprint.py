"""A fingerprint differs for other weights, and is soon there however large the files are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from worker.model.fingerprint import BLOCK_BYTES, CONFIG_FILES, fingerprint

SIZE = 300 * BLOCK_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in CONFIG_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(os.urandom(SIZE))
    (tmp_path / "speech_tokenizer" / "model.safetensors").write_bytes(b"codec")
    return tmp_path


@pytest.mark.parametrize("position", [0, BLOCK_BYTES - 1, SIZE - 1])
def test_another_byte_is_another_fingerprint(folder: Path, position: int) -> None:
    before = fingerprint(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))
    assert before != fingerprint(folder)
    assert len(before) == 16


def test_a_copy_has_the_same_and_another_configuration_has_not(folder: Path) -> None:
    before = fingerprint(folder)
    os.utime(folder / "model.safetensors", (1, 1))
    assert fingerprint(folder) == before
    (folder / "generation_config.json").write_text('{"top_k": 1}')
    assert fingerprint(folder) != before


def test_four_gigabytes_take_less_than_a_second(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 4 * 2**30)  # sparse: it takes no place
    began_s = time.process_time()
    fingerprint(folder)
    assert time.process_time() - began_s < 1
