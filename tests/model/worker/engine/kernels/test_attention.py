"""Attention is that of torch, for heads of any size, on every kind of processor."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.support.programs import COMPILER, EMULATOR, compile_program, run_program
from worker.engine.kernels.compiler import C_TYPES, VECTOR_FLAGS

# Instructions to compile for, and what runs the program; ARM's is imitated.
PROCESSORS = {
    "this": (["-march=native", *VECTOR_FLAGS], "c++", []),
    "AVX2": (["-march=haswell", *VECTOR_FLAGS], "c++", []),
    "any": (["-march=native", "-DPLAIN"], "c++", []),
    "ARM": (["-march=armv8-a"], COMPILER, [EMULATOR]),
}


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize(
    ("head", "queries", "dtype"),
    [
        (128, 2, torch.bfloat16),
        (64, 1, torch.float32),
        (24, 2, torch.bfloat16),
        (20, 1, torch.bfloat16),
        (6, 2, torch.float32),
    ],
)
def test_attention_is_that_of_torch(
    tmp_path: Path, processor: str, head: int, queries: int, dtype: torch.dtype
) -> None:
    flags, compiler, runs_in = PROCESSORS[processor]
    if not all(shutil.which(program) for program in (compiler, *runs_in)):
        pytest.skip(f"needs {compiler} and what runs its programs")
    if processor == "AVX2" and " avx2 " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    main = Path(__file__).with_name("call_attention.cpp")
    macros = {"HEAD": head, "AT_ONCE": queries, "CACHE": C_TYPES[dtype]}
    program = compile_program(tmp_path / "call", main, "attention.h", flags, compiler, **macros)
    torch.manual_seed(0)
    for count in (1, 31, 32, 33, 100):
        query = torch.randn(queries, head)
        keys, values = (torch.randn(count, head).to(dtype) for _ in range(2))
        expected = (query @ keys.float().T).softmax(1) @ values.float()
        found = run_program([*runs_in, program], [count], query, keys, values, expected)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
