"""Processors that kernels are compiled for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from worker.engine.kernels import compiler

# Instructions to compile for, and what a processor must be able to do to run them.
PROCESSORS = {
    "this": ("-march=native", ""),
    "AVX-VNNI": ("-march=native -DNARROW", "avx512_vnni"),
    "AVX2": ("-march=haswell", "avx2"),
    "any": ("-march=native -DPLAIN", ""),
}


@pytest.fixture(params=PROCESSORS)
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for this kind of processor, as far as this one can run it."""
    flags, needed = PROCESSORS[request.param]
    if needed and f" {needed} " not in Path("/proc/cpuinfo").read_text().replace("\n", " "):
        pytest.skip(f"this processor has no {request.param}")
    monkeypatch.setattr(compiler, "PROCESSOR_FLAGS", tuple(flags.split()))
    torch.manual_seed(0)
