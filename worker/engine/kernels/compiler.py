"""Compiles the C++ files of this folder for this processor; each takes about a second."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from worker.engine.errors import EngineError

_log = logging.getLogger(__name__)

SOURCE_FOLDER = Path(__file__).parent
PROCESSORS_FILE = Path("/proc/cpuinfo")
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


@dataclass
class _Kept:
    folder: Path | None = None


_kept = _Kept()


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
    flags = (*COMPILER_FLAGS, *processor_flags, *VECTOR_FLAGS, *LIBRARY_FLAGS, *macros)
    kept = _kept.folder and _kept.folder / f"{name}-{_fingerprint(flags)}.so"
    if kept and kept.exists():
        try:
            return ctypes.CDLL(str(kept))
        except OSError as error:  # cut off, perhaps
            _log.debug("%s cannot be loaded: %s", kept, error)
    try:
        with TemporaryDirectory(prefix="qwen-tts-queue-") as folder:
            target = Path(folder) / f"{name}.so"
            _compile([*flags, str(SOURCE_FOLDER / f"{name}.cpp"), "-o", str(target)])
            library = ctypes.CDLL(str(target))  # it stays when the file goes
            if kept:
                _keep(target, kept)
            return library
    except OSError as error:
        raise CannotCompile(f"{name}.cpp cannot be stored, or not be loaded: {error}") from error


def keep_libraries_in(folder: Path) -> None:
    """Look for compiled libraries in a folder first, and put new ones there."""
    _kept.folder = folder


def _keep(library: Path, kept: Path) -> None:
    """Store a library whole or not at all: to load one that is cut off ends the process."""
    # Not named by the process's number, which workers in containers have in common.
    draft = kept.with_suffix(f".{uuid.uuid4().hex}")
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with library.open("rb") as source, draft.open("xb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(kept)
    except OSError as error:
        _log.debug("%s cannot be kept: %s", kept, error)
        with suppress(OSError):
            draft.unlink()


def _fingerprint(flags: tuple[str, ...]) -> str:
    """One word for all that a library depends on: sources, flags and the processor's abilities."""
    hashed = hashlib.sha256(repr(flags).encode())
    hashed.update(sources_digest())
    hashed.update("\n".join(processor_lines("model name", "flags", "Features")).encode())
    return hashed.hexdigest()[:16]


def sources_digest() -> bytes:
    """The SHA-256 of all C++ files of this folder together."""
    hashed = hashlib.sha256()
    for source in sorted(SOURCE_FOLDER.glob("*.[ch]*")):
        hashed.update(source.read_bytes())
    return hashed.digest()


def processor_lines(*names: str) -> list[str]:
    """The first processor's fields of these names, as Linux has them."""
    try:
        first = PROCESSORS_FILE.read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return [platform.machine()]
    pairs = [line.partition(":") for line in first.splitlines()]
    return [value.strip() for name, _, value in pairs if name.strip() in names]


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
