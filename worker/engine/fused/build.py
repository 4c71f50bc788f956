"""Compiles a C++ file of this folder for this processor; it takes about a second."""

from __future__ import annotations

import ctypes
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from worker.engine.errors import EngineError

FOLDER = Path(__file__).parent
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    # Some compilers know no more than 128 bits of a processor that is newer than they are.
    "-mprefer-vector-width=256",
    # No errno and no floating point traps, or loops with roots and comparisons stay scalar.
    "-fno-math-errno",
    "-fno-trapping-math",
)
# The library shares torch's threads: both ask for OpenMP by the same name.
LIBRARY = ("-fopenmp", "-shared", "-fPIC")
TYPES: dict[object, str] = {
    torch.float32: "float",
    torch.bfloat16: "bfloat16",
    torch.uint8: "uint8_t",
}


class CannotCompile(EngineError):
    """There is no C++ compiler here, or it does not know what the kernels need."""


@cache
def build(name: str, **defined: int | torch.dtype) -> ctypes.CDLL:
    """The library of `name`.cpp with these macros defined; raises `CannotCompile`."""
    macros = [f"-D{key}={TYPES.get(value, value)}" for key, value in defined.items()]
    with TemporaryDirectory(prefix="qwen-tts-queue-") as folder:
        target = Path(folder) / f"{name}.so"
        _compile([*FLAGS, *LIBRARY, *macros, str(FOLDER / f"{name}.cpp"), "-o", str(target)])
        return ctypes.CDLL(str(target))  # it stays when the file goes


def _compile(arguments: list[str]) -> None:
    try:
        subprocess.run(["c++", *arguments], check=True, capture_output=True, text=True)
    except OSError as error:
        raise CannotCompile("there is no C++ compiler: install g++") from error
    except subprocess.CalledProcessError as error:
        reason = [line for line in error.stderr.splitlines() if "error" in line]
        raise CannotCompile(f"c++ failed: {(reason or ['without a word'])[0]}") from error
