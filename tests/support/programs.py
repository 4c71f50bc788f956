"""C++ programs of the kernels, which may be for another processor than this one."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from worker.engine.kernels.compiler import COMPILER_FLAGS, SOURCE_FOLDER

ARM_COMPILER, ARM_EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


def compile_program(
    target: Path,
    main: Path,
    source: str,
    flags: Sequence[str],
    compiler: str = "c++",
    **macros: object,
) -> Path:
    """A program of `main`, which includes a source of the kernels as SOURCE."""
    defined = [f"-D{name}={value}" for name, value in macros.items()]
    included = f'-DSOURCE="{SOURCE_FOLDER / source}"'
    command = [compiler, *COMPILER_FLAGS, *flags, "-fopenmp", "-static", included, *defined]
    subprocess.run([*command, str(main), "-o", str(target)], check=True)
    return target


def run_program(command: Sequence[str | Path], sizes: Sequence[int], *arrays: Tensor) -> Tensor:
    """The result of a program; the last array is of its shape and type."""
    result = arrays[-1]
    given = b"".join(struct.pack("<q", size) for size in sizes)
    for one in arrays[:-1]:
        raw = one.contiguous().view(torch.uint8).numpy().tobytes()
        given += struct.pack("<q", len(raw)) + raw
    given += struct.pack("<q", result.nbytes)
    ran = subprocess.run(command, input=given, capture_output=True, check=True)
    return torch.frombuffer(bytearray(ran.stdout), dtype=result.dtype).view(result.shape)
