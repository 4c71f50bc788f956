"""Sets up the processor for inference, and counts its cores."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
from pathlib import Path

import torch

_log = logging.getLogger(__name__)

TOPOLOGY_FOLDER = Path("/sys/devices/system/cpu")
CPU_LIMIT_FILE = Path("/sys/fs/cgroup/cpu.max")
# What glibc's mallopt (malloc.h) is to set M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD to:
# one heap, blocks up to 64 MiB in it, and 256 MiB at its end that stay when they are freed.
_MALLOC_SETTINGS = {-8: 1, -3: 2**26, -1: 2**28}


def set_up_cpu(threads: int | None = None) -> int:
    """Set up this process for inference on the CPU; returns its number of threads.

    oneDNN on; `threads` for one operation, by default `physical_cores()`; one operation at a time;
    denormals, which are very slow, flushed to zero. A thread inherits the last setting from the
    thread that starts it, so this comes before the engine's start.
    """
    threads = threads or physical_cores()
    _keep_freed_memory()
    torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
    libraries = (torch.backends.mkl, torch.backends.mkldnn)
    if not all(library.is_available() for library in libraries):
        _log.warning("this build of torch lacks MKL or oneDNN: it will be slow on CPU")
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:  # allowed once, and before any parallel work
            _log.debug("inter-op threads stay at %d", torch.get_num_interop_threads())
    return threads


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed for what comes next, where it can (glibc).

    Left alone, it returns the 25 MB of a chunk of sound to the system, which gives them back page
    by page: 5 % of the codec's time.
    """
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        for parameter, value in _MALLOC_SETTINGS.items():
            setting(parameter, value)


def give_memory_back() -> None:
    """Return freed memory to the system, where the C library can (glibc).

    Without this, the old copies of repacked weights stay: 2.3 of 7.1 GiB with 0.6B in float32.
    What is part of a cycle of references, as modules are, is freed first, and so is CUDA's cache.
    """
    gc.collect()
    torch.cuda.empty_cache()  # does nothing without CUDA
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def physical_cores() -> int:
    """Return how many physical cores this process may use: affinity and container limits count."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
    try:
        siblings = {
            (TOPOLOGY_FOLDER / f"cpu{cpu}/topology/thread_siblings_list").read_text()
            for cpu in allowed
        }
    except OSError:
        return min(len(allowed), _container_limit())
    return min(len(siblings), _container_limit())


def _container_limit() -> int:
    """Return the whole cores that the control group (version 2) grants, at least one."""
    try:
        quota, period = CPU_LIMIT_FILE.read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no control group, or "max"
        return os.cpu_count() or 1
