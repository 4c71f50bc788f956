"""How fast speech is made: qwen-tts as it comes, and our engine, on full-size random weights."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from worker.checkpoints import make_checkpoint
from worker.models import cache_folder

ONE = Path(__file__).with_name("engine_run.py")
QUICK = [
    ("baseline", "float32", 1),
    ("ours", "float32", 1),
    ("ours", "float32", 16),
    ("ours", "bfloat16", 16),
]
FULL = [
    ("baseline", "float32", 1),
    *(("qwen_tts", "float32", slots) for slots in (4, 16)),
    *(
        ("ours", precision, slots)
        for precision in ("float32", "bfloat16")
        for slots in (1, 4, 8, 16, 32)
    ),
]
COLUMNS = ("frames_per_s", "lm_rtf", "codec_rtf", "rtf", "ttfa_s", "load_s", "peak_rss_bytes")
console = Console(width=None if sys.stdout.isatty() else 150)


def main() -> int:
    """Measure every row in a process of its own, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four rows, under 3 minutes")
    parser.add_argument("--frames", type=int, help="frames of each request (24; quick: 12)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    folder = cache_folder() / "0.6B-CustomVoice"
    if not folder.exists():
        console.print(f"Making a full-size checkpoint in {folder} (2.5 GB, once)…")
        make_checkpoint("0.6B", "custom_voice", folder)
    frames = args.frames or (12 if args.quick else 24)
    rows = measure(folder, QUICK if args.quick else FULL, frames)
    print_table(rows, frames)
    if args.json:
        args.json.write_text(json.dumps({"frames": frames, "rows": rows}, indent=2) + "\n")
    return 0


def measure(folder: Path, plan: list[tuple[str, str, int]], frames: int) -> list[dict[str, Any]]:
    """The rows of the plan; `ratio` is how many times the baseline's whole RTF each one is."""
    rows: list[dict[str, Any]] = []
    for number, (system, precision, slots) in enumerate(plan, 1):
        console.print(f"{number}/{len(plan)}: {system}, {precision}, {slots} at once…")
        command = [sys.executable, ONE, folder, system, precision, str(slots), str(frames)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(ran.stdout)
        row["ratio"] = (rows[0] if rows else row)["rtf"] / row["rtf"]
        rows.append(row)
    return rows


def print_table(rows: list[dict[str, Any]], frames: int) -> None:
    """Print what was measured."""
    table = Table(title=f"0.6B, random weights, greedy, {frames} frames a request")
    for name in ("system", "precision", "slots", *COLUMNS, "ratio", "same codes"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [row["system"], row["precision"], str(row["slots"])]
        cells += [_cell(name, row[name]) for name in COLUMNS]
        table.add_row(*cells, f"{row['ratio']:.1f}×", _agreement(row, rows[0]))
    console.print(table)


def _cell(name: str, value: float) -> str:
    return f"{value / 2**30:.1f} GiB" if name.endswith("_bytes") else f"{value:.2f}"


def _agreement(row: dict[str, Any], baseline: dict[str, Any]) -> str:
    return "yes" if row["codes_sha256"] == baseline["codes_sha256"] else "no"


if __name__ == "__main__":
    sys.exit(main())
