"""How fast speech is made: qwen-tts as it comes, and our engine, on full-size random weights."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(ROOT)

from rich.console import Console
from rich.table import Table

from worker.checkpoints import make_checkpoint
from worker.model.catalogue import cache_folder

ONE = ["-m", "benchmarks.engine_run"]
SLOTS = (1, 4, 8, 16, 32)
BASELINE = ("baseline", "float32", 1)
QUICK = [
    BASELINE,
    ("ours", "float32", 16),
    ("ours", "bfloat16", 16),
    ("ours", "int8", 1),
    ("ours", "int8", 16),
    BASELINE,
]
# The baseline comes again and again: other work on the machine changes how fast it is.
FULL = [
    BASELINE,
    *(("qwen_tts", "float32", slots) for slots in (4, 16)),
    BASELINE,
    *(
        row
        for precision in ("float32", "bfloat16", "int8")
        for row in (
            *(("ours", precision, slots) for slots in SLOTS),
            *(("uncompiled", precision, slots) for slots in (1, 16)),
            BASELINE,
        )
    ),
    ("mixed", "int8", 16),
    BASELINE,
]
COLUMNS = (
    *("frames_per_s", "lm_rtf", "codec_rtf", "rtf", "ttfa_s"),
    *("load_s", "compile_s", "weights_bytes", "peak_rss_bytes"),
)
ENGINE = ("ours", "uncompiled", "mixed")
console = Console(width=None if sys.stdout.isatty() else 150)


def main() -> int:
    """Measure every row in a process of its own, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six rows, under 3 minutes")
    parser.add_argument("--frames", type=int, help="frames of each request (60; quick: 24)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    folder = cache_folder() / "0.6B-CustomVoice"
    if not folder.exists():
        console.print(f"Making a full-size checkpoint in {folder} (2.5 GB, once)…")
        make_checkpoint("0.6B", "custom_voice", folder)
    frames = args.frames or (24 if args.quick else 60)
    rows = measure(folder, QUICK if args.quick else FULL, frames)
    print_table(rows, frames)
    if args.json:
        args.json.write_text(json.dumps({"frames": frames, "rows": rows}, indent=2) + "\n")
    return 0


def measure(folder: Path, plan: list[tuple[str, str, int]], frames: int) -> list[dict[str, Any]]:
    """The rows of the plan.

    The baseline, which takes ten seconds for one of speech, makes a third of the frames.
    """
    rows: list[dict[str, Any]] = []
    for number, (system, precision, slots) in enumerate(plan, 1):
        console.print(f"{number}/{len(plan)}: {system}, {precision}, {slots} at once…")
        count = frames if system in ENGINE else max(12, frames // 3)
        command = [sys.executable, *ONE, folder, system, precision, str(slots), str(count)]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(ran.stdout))
    for number, row in enumerate(rows):
        row["ratio"] = usual(rows, number) / row["rtf"]
    return rows


def usual(rows: list[dict[str, Any]], number: int) -> float:
    """The whole RTF of the baseline: the mean of its last row before this one and its next."""
    found = [at for at, row in enumerate(rows) if row["system"] == "baseline"]
    before = max(at for at in found if at <= number)
    after = min(at for at in found if at >= number)
    return statistics.mean(rows[at]["rtf"] for at in (before, after))


def print_table(rows: list[dict[str, Any]], frames: int) -> None:
    """Print what was measured."""
    table = Table(
        title=f"0.6B, random weights, greedy, {frames} frames a request (qwen-tts: a third)"
    )
    for name in ("system", "precision", "slots", *COLUMNS, "ratio", "same codes"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [row["system"], row["precision"], str(row["slots"])]
        cells += [_cell(name, row.get(name)) for name in COLUMNS]
        table.add_row(*cells, f"{row['ratio']:.1f}×", _agreement(row, rows[0]))
    console.print(table)
    for row in rows:
        if row["system"] == "mixed":
            console.print(
                f"mixed lengths, random arrivals: {row['of_steady']:.0%} of the throughput of full"
                f" slots; longest wait of a running request {row['longest_wait']:.1f} steps"
            )


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 2**30:.2f} GiB" if name.endswith("_bytes") else f"{value:.2f}"


def _agreement(row: dict[str, Any], baseline: dict[str, Any]) -> str:
    """Whether the codes begin as the baseline's do, as far as that spoke."""
    if row["system"] == "mixed":
        return "–"
    shared = min(len(row["codes"]), len(baseline["codes"]))
    return "yes" if row["codes"][:shared] == baseline["codes"][:shared] else "no"


if __name__ == "__main__":
    sys.exit(main())
