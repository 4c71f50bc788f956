"""The roofline of a machine (Williams et al. 2009), and how near a row of the table comes to it.

Work takes at least as long as reading its weights, and as its operations. Both have a peak on each
machine, which `peaks.py` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.workload import Workload
from worker.engine.codec.codec import CHUNK_FRAMES

FRAME_S = 0.08
GIGA = 1e9
# Types that a precision may compute in: a wider one is never worse.
ALLOWED_TYPES = {
    "float32": ("float32",),
    "bfloat16": ("bfloat16", "float32"),
    "int8": ("int8", "bfloat16", "float32"),
}
WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


class Peak(NamedTuple):
    """The most operations, or bytes, a second (in thousands of millions), and who reached it."""

    giga_per_s: float
    by: str


# By type: int8, bfloat16 and float32; and "memory".
Peaks = Mapping[str, Peak]


class Work(NamedTuple):
    """Operations and bytes that are read, and the seconds that they take at the limit."""

    operations: float
    read_bytes: float
    limit_s: float

    @property
    def intensity(self) -> float:
        """Operations for each byte that is read."""
        return self.operations / self.read_bytes


def peak_operations(precision: str, peaks: Peaks) -> float:
    """The most operations a second of all types that a precision may compute in."""
    return max(peaks[name].giga_per_s for name in ALLOWED_TYPES[precision]) * GIGA


def work(operations: float, read_bytes: float, precision: str, peaks: Peaks) -> Work:
    """Work at the limit: reading and computing overlap, and the longer one counts."""
    reading_s = read_bytes / (peaks["memory"].giga_per_s * GIGA)
    return Work(
        operations, read_bytes, max(reading_s, operations / peak_operations(precision, peaks))
    )


def language_model_work(row: Mapping[str, Any], load: Workload, peaks: Peaks) -> Work:
    """Prompts and frames of all requests of a row; a batch reads weights once for all its rows."""
    slots, frames, precision = row["slots"], row["frames"], row["precision"]
    # Our own float product keeps the released weights as the bfloat16 numbers that they are.
    is_short = precision == "float32" and row.get("products") == "kernel"
    size = WEIGHT_BYTES["bfloat16" if is_short else precision]
    prompt = work(
        2 * load.prompt_weights * slots * row["prompt_positions"],
        load.prompt_weights * size,
        precision,
        peaks,
    )
    step = work(load.frame_operations * slots, load.step_weights * size, precision, peaks)
    return Work(*(once + frames * each for once, each in zip(prompt, step, strict=True)))


def codec_work(row: Mapping[str, Any], load: Workload, peaks: Peaks) -> Work:
    """Chunks of all requests of a row; those of one step are decoded side by side."""
    chunks, precision = row["frames"] / CHUNK_FRAMES, row["precision"]
    return work(
        load.codec_operations * row["slots"] * row["frames"],
        load.codec_weights * WEIGHT_BYTES[precision] * chunks,
        precision,
        peaks,
    )


def roofline_figures(row: Mapping[str, Any], load: Workload, peaks: Peaks) -> dict[str, Any]:
    """The shares of the roofline: time at the limit ÷ time measured, of all and of each half.

    With the intensity of each half, in operations for each byte, and the operations a second that
    it attained. Nothing for an engine whose prompts are not known, and no halves where both were
    timed as one.
    """
    if "prompt_positions" not in row:
        return {}
    audio_s = row["slots"] * row["frames"] * FRAME_S
    halves = {
        "lm": language_model_work(row, load, peaks),
        "codec": codec_work(row, load, peaks),
    }
    limit_s = sum(half.limit_s for half in halves.values())
    figures = {"roofline_share": limit_s / (row["rtf"] * audio_s)}
    if row["codec_rtf"]:
        for name, half in halves.items():
            measured_s = row[f"{name}_rtf"] * audio_s
            figures |= {
                f"{name}_roofline_share": half.limit_s / measured_s,
                f"{name}_intensity": half.intensity,
                f"{name}_gops": half.operations / measured_s / GIGA,
            }
    return figures
