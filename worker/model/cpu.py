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


def set_up_cpu(threads: int | None = None) -> int:
    """Set up this process for inference on the CPU; returns its number of threads.

    oneDNN on; `threads` for one operation, by default `physical_cores()`; one operation at a time;
    denormals, which are very slow, flushed to zero. A thread inherits the last setting from the
    thread that starts it, so this comes before the engine's start.
    """
    threads = threads or physical_cores()
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
