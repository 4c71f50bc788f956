"""Compiles `kernels.cpp` for this processor and one kind of model; it takes about a second."""

from __future__ import annotations

import ctypes
import subprocess
from ctypes import c_float, c_long, c_void_p
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from worker.engine.errors import EngineError

SOURCE = Path(__file__).with_name("kernels.cpp")
# No errno and no floating point traps, or loops with roots and comparisons are not vectorised.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
# The library shares torch's threads: both ask for OpenMP by the same name.
LIBRARY = ("-fopenmp", "-shared", "-fPIC")
TYPES = {torch.float32: "float", torch.bfloat16: "bfloat16"}
ARGUMENTS = {
    "norm": [*[c_long] * 2, *[c_void_p] * 4, c_float, *[c_void_p] * 2],
    "gate": [*[c_long] * 2, *[c_void_p] * 4],
    "attend": [
        *[c_long] * 3,
        *[c_void_p] * 4,
        c_float,
        *[c_void_p] * 4,
        c_long,
        *[c_void_p] * 4,
    ],
}


class CannotCompile(EngineError):
    """There is no C++ compiler here, or it does not know what the kernels need."""


@cache
def build(head: int, activation: torch.dtype, cache: torch.dtype) -> ctypes.CDLL:
    """The kernels for heads of this size and these types; raises `CannotCompile`."""
    defined = {"HEAD": head, "ACTIVATION": TYPES[activation], "CACHE": TYPES[cache]}
    with TemporaryDirectory(prefix="qwen-tts-queue-") as folder:
        target = Path(folder) / "kernels.so"
        options = [f"-D{name}={value}" for name, value in defined.items()]
        _compile([*FLAGS, *LIBRARY, *options, str(SOURCE), "-o", str(target)])
        library = ctypes.CDLL(str(target))  # it stays when the file goes
    for name, types in ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, None
    return library


def _compile(arguments: list[str]) -> None:
    try:
        subprocess.run(["c++", *arguments], check=True, capture_output=True, text=True)
    except OSError as error:
        raise CannotCompile("there is no C++ compiler: install g++") from error
    except subprocess.CalledProcessError as error:
        reason = [line for line in error.stderr.splitlines() if "error" in line]
        raise CannotCompile(f"c++ failed: {(reason or ['without a word'])[0]}") from error
