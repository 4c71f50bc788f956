"""Compiles the C++ files of this folder for this processor; each takes about a second."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from worker.engine.errors import EngineError

_log = logging.getLogger(__name__)

SOURCE_FOLDER = Path(__file__).parent
# No errno and no floating point traps, or loops with roots and comparisons stay scalar.
COMPILER_FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi")
PROCESSOR_FLAGS = ("-march=native",)
# Some compilers use 128-bit vectors for a processor that is newer than they are.
VECTOR_FLAGS = ("-mprefer-vector-width=256",) if platform.machine() in ("x86_64", "AMD64") else ()
# The library shares torch's threads: both ask for OpenMP by the same name.
LIBRARY_FLAGS = ("-fopenmp", "-shared", "-fPIC")
COMPILE_TIMEOUT_S = 120
# Outputs of a product that lie side by side in its weights.
PANEL = 16
C_TYPES: dict[object, str] = {
    torch.float32: "float",
    torch.bfloat16: "bfloat16",
    torch.uint8: "uint8_t",
}


class CannotCompile(EngineError):
    """Raised when there is no compiler that works, or there are no kernels for a model."""


def build(name: str, **defined: int | torch.dtype) -> ctypes.CDLL:
    """The library of `name`.cpp with these macros defined; raises `CannotCompile`."""
    return _build(name, PROCESSOR_FLAGS, **defined)


@cache
def _build(
    name: str, processor_flags: tuple[str, ...], **defined: int | torch.dtype
) -> ctypes.CDLL:
    macros = [f"-D{key}={C_TYPES.get(value, value)}" for key, value in defined.items()]
    try:
        with TemporaryDirectory(prefix="qwen-tts-queue-") as folder:
            target = str(Path(folder) / f"{name}.so")
            source = str(SOURCE_FOLDER / f"{name}.cpp")
            flags = (*COMPILER_FLAGS, *processor_flags, *VECTOR_FLAGS, *LIBRARY_FLAGS, *macros)
            _compile([*flags, source, "-o", target])
            return ctypes.CDLL(target)  # it stays when the file goes
    except OSError as error:
        raise CannotCompile(f"{name}.cpp cannot be stored, or not be loaded: {error}") from error


def forget_builds() -> None:
    """Compile anew from here on."""
    _build.cache_clear()


def function(library: ctypes.CDLL, name: str, *types: type) -> Callable[..., None]:
    """A function of a library, which returns nothing."""
    found = library[name]
    found.argtypes, found.restype = types, None
    return found


def pointers(*tensors: Tensor | None) -> list[int | None]:
    """The addresses of tensors, which must be dense."""
    assert all(tensor is None or tensor.is_contiguous() for tensor in tensors)
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def padded(size: int, multiple: int) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def _compile(arguments: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        ran = subprocess.run(
            ["c++", *arguments],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMPILE_TIMEOUT_S,
        )
    except FileNotFoundError as error:
        raise CannotCompile("there is no C++ compiler: install g++") from error
    except OSError as error:
        raise CannotCompile(f"the C++ compiler cannot be run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotCompile(f"the C++ compiler was not done after {COMPILE_TIMEOUT_S} s") from error
    if ran.returncode:
        _log.debug("c++ %s\n%s", " ".join(arguments), ran.stderr)
        errors = (line for line in ran.stderr.splitlines() if "error" in line)
        reason = next(errors, "it does not say why")
        raise CannotCompile(f"c++ failed ({ran.returncode}): {reason}")
