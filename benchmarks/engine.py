"""The speed of qwen-tts as it comes and of our engine, on full-size random weights."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(ROOT)

from rich.console import Console

from benchmarks import peer_vox
from benchmarks.engine_run import TEXT
from benchmarks.engine_table import print_comparison, print_peaks, print_table, usual_rtf
from benchmarks.peaks import higher_peaks, measure_peaks
from benchmarks.roofline import Peaks, roofline_figures
from benchmarks.roofline_plot import plot_roofline
from benchmarks.workload import read_workload
from worker.checkpoints import make_checkpoint
from worker.model.catalogue import cache_folder
from worker.model.cpu import physical_cores
from worker.model.tuning_file import processor_name

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
ENGINE = ("ours", "uncompiled", "mixed")
Plan = list[tuple[str, str, int]]
console = Console(width=None if sys.stdout.isatty() else 190)


def main() -> int:
    """Measure peaks and every row in processes of their own, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six rows, under 4 minutes")
    parser.add_argument("--frames", type=int, help="frames of each request (60; quick: 24)")
    parser.add_argument("--peer", choices=[peer_vox.NAME], help="another engine, for comparison")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the roofline as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C: what runs is ended, and the peer's weights are removed.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    folder = cache_folder() / "0.6B-CustomVoice"
    if not folder.exists():
        console.print(f"Making a full-size checkpoint in {folder} (2.5 GB, once)…")
        make_checkpoint("0.6B", "custom_voice", folder)
    frames = args.frames or (24 if args.quick else 60)
    plan = QUICK if args.quick else FULL
    processor, threads = processor_name(), physical_cores()
    with ExitStack() as stack:
        peer = None
        if args.peer:
            console.print(f"Installing {peer_vox.PACKAGE}, converting the checkpoint…")
            try:
                prepared = peer_vox.prepared(folder, cache_folder().parent / "peers")
                peer = stack.enter_context(prepared)
            except peer_vox.PeerUnavailable as error:
                sys.exit(str(error))
            peers = [(peer_vox.NAME, peer_vox.PRECISION, slots) for slots in peer_vox.SLOTS]
            plan = [*plan[:-1], *peers, BASELINE]
        console.print("Measuring the peaks of this machine…")
        peaks = measure_peaks()
        rows = measure(folder, plan, frames, threads, peer)
        peaks = higher_peaks(peaks, measure_peaks())  # other work may have disturbed the first
    add_figures(rows, folder, peaks)
    print_table(console, rows, frames)
    print_peaks(console, processor, threads, peaks)
    if peer:
        print_comparison(console, rows, peer_vox.NAME, f"Beside {peer_vox.PACKAGE}")
    if args.plot:
        args.plot.write_text(plot_roofline(rows, peaks, processor), encoding="utf-8")
    if args.json:
        told = {name: peak._asdict() for name, peak in peaks.items()}
        written = {"frames": frames, "processor": processor, "threads": threads, "peak": told}
        args.json.write_text(json.dumps(written | {"rows": rows}, indent=2) + "\n")
    return 0


def measure(
    folder: Path, plan: Plan, frames: int, threads: int, peer: peer_vox.Peer | None
) -> list[dict[str, Any]]:
    """The rows of the plan.

    The baseline, which takes ten seconds for one of speech, makes a third of the frames.
    """
    rows: list[dict[str, Any]] = []
    for number, (system, precision, slots) in enumerate(plan, 1):
        console.print(f"{number}/{len(plan)}: {system}, {precision}, {slots} at once…")
        if peer and system == peer_vox.NAME:
            try:
                rows.append(peer.measure(slots, frames, threads, TEXT))
            except peer_vox.PeerUnavailable as error:  # the other rows are of use without it
                console.print(str(error))
            continue
        count = frames if system in ENGINE else max(12, frames // 3)
        command = [sys.executable, *ONE, str(folder), system, precision, str(slots), str(count)]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(ran.stdout))
    return rows


def add_figures(rows: list[dict[str, Any]], folder: Path, peaks: Peaks) -> None:
    """Add what takes more than the row itself: its ratio to the baseline, and the roofline."""
    workload = read_workload(folder)
    for number, row in enumerate(rows):
        row["ratio"] = usual_rtf(rows, number) / row["rtf"]
        row |= roofline_figures(row, workload, peaks)


if __name__ == "__main__":
    sys.exit(main())
