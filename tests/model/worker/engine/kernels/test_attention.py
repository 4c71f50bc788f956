"""Attention is that of torch, for heads of any size, on every kind of processor."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.support.programs import ARM_COMPILER, ARM_EMULATOR, compile_program, run_program
from worker.engine.kernels import compiler
from worker.engine.kernels.compiler import C_TYPES, VECTOR_FLAGS

pytestmark = [
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
    pytest.mark.parametrize(
        ("head", "queries", "dtype"),
        [
            (128, 2, torch.bfloat16),
            (64, 1, torch.float32),
            (24, 2, torch.bfloat16),
            (20, 1, torch.bfloat16),
            (6, 2, torch.float32),
        ],
    ),
]
MAIN = Path(__file__).with_name("call_attention.cpp")


@pytest.mark.parametrize("processor", ["this", "AVX2", "any"], indirect=True)
@pytest.mark.usefixtures("processor")
def test_attention_is_that_of_torch(
    tmp_path: Path, head: int, queries: int, dtype: torch.dtype
) -> None:
    flags = [*compiler.PROCESSOR_FLAGS, *VECTOR_FLAGS]
    macros = {"HEAD": head, "AT_ONCE": queries, "CACHE": C_TYPES[dtype]}
    program = compile_program(tmp_path / "call", MAIN, "attention.h", flags, **macros)
    assert_is_that_of_torch([program], head, queries, dtype)


@pytest.mark.skipif(
    not all(shutil.which(program) for program in (ARM_COMPILER, ARM_EMULATOR)),
    reason=f"needs {ARM_COMPILER} and {ARM_EMULATOR}",
)
def test_so_it_is_on_arm(tmp_path: Path, head: int, queries: int, dtype: torch.dtype) -> None:
    flags = ["-march=armv8-a"]
    macros = {"HEAD": head, "AT_ONCE": queries, "CACHE": C_TYPES[dtype]}
    program = compile_program(tmp_path / "call", MAIN, "attention.h", flags, ARM_COMPILER, **macros)
    assert_is_that_of_torch([ARM_EMULATOR, program], head, queries, dtype)


def assert_is_that_of_torch(
    command: Sequence[str | Path], head: int, queries: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    for count in (1, 31, 32, 33, 100):
        query = torch.randn(queries, head)
        keys, values = (torch.randn(count, head).to(dtype) for _ in range(2))
        expected = (query @ keys.float().T).softmax(1) @ values.float()
        found = run_program(command, [count], query, keys, values, expected)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
