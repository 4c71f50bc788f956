"""The table of `engine.py`, and what is said below it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.roofline import Peaks

Row = dict[str, Any]

COLUMNS = (
    *("frames_per_s", "lm_rtf", "codec_rtf", "rtf", "ttfa_s"),
    *("load_s", "compile_s", "weights_bytes", "peak_rss_bytes"),
)


def usual_rtf(rows: Sequence[Row], number: int) -> float:
    """The whole RTF of the baseline: the mean of its last row before this one and its next."""
    found = [at for at, row in enumerate(rows) if row["system"] == "baseline"]
    before = max(at for at in found if at <= number)
    after = min(at for at in found if at >= number)
    return statistics.mean(float(rows[at]["rtf"]) for at in (before, after))


def print_table(console: Console, rows: Sequence[Row], frames: int) -> None:
    """Print what was measured."""
    table = Table(
        title=f"0.6B, random weights, greedy, {frames} frames a request (qwen-tts: a third)"
    )
    names = ("system", "precision", "slots", *COLUMNS, "ratio", "of the roofline", "same codes")
    for name in names:
        table.add_column(name, justify="right", no_wrap=name == "of the roofline")
    for row in rows:
        cells = [row["system"], row["precision"], str(row["slots"])]
        cells += [_cell(name, row.get(name)) for name in COLUMNS]
        table.add_row(*cells, f"{row['ratio']:.1f}×", share_cell(row), _agreement(row, rows[0]))
    console.print(table)
    for row in rows:
        if row["system"] == "mixed":
            console.print(
                f"mixed lengths, random arrivals: {row['of_steady']:.0%} of the throughput of full"
                f" slots; longest wait of a running request {row['longest_wait']:.1f} steps"
            )


def print_peaks(console: Console, processor: str, threads: int, peaks: Peaks) -> None:
    """Say what the shares of the roofline are shares of."""
    told = [
        f"{name} {peak.giga_per_s:.0f} {'GB' if name == 'memory' else 'GOP'}/s ({peak.by})"
        for name, peak in peaks.items()
    ]
    console.print(f"{processor}, {threads} threads: {', '.join(told)}")


def print_comparison(console: Console, rows: Sequence[Row], peer: str, title: str) -> None:
    """Print the peer beside the compiled int8 engine, each alone and at its best number at once."""
    table = Table(title=title)
    for name in ("", f"{peer} RTF", "ours RTF, int8", "ours ÷ peer"):
        table.add_column(name, justify="right")
    for name, theirs, ours in compare(rows, peer):
        cells = [f"{row['rtf']:.2f} ({row['slots']} at once)" for row in (theirs, ours)]
        table.add_row(name, *cells, f"{ours['rtf'] / theirs['rtf']:.2f}")
    console.print(table)


def compare(rows: Sequence[Row], peer: str) -> list[tuple[str, Row, Row]]:
    """The peer's row and ours, for one request alone and for the number at once that is best."""
    theirs = [row for row in rows if row["system"] == peer]
    ours = [row for row in rows if (row["system"], row["precision"]) == ("ours", "int8")]
    pairs = []
    alone = [[row for row in own if row["slots"] == 1] for own in (theirs, ours)]
    if all(alone):
        pairs.append(("1 at once", alone[0][0], alone[1][0]))
    if theirs and ours:
        best = [min(own, key=lambda row: float(row["rtf"])) for own in (theirs, ours)]
        pairs.append(("best", best[0], best[1]))
    return pairs


def share_cell(row: Mapping[str, Any]) -> str:
    """The share of the roofline: of the whole, and of language model and codec."""
    if "roofline_share" not in row:
        return "–"
    whole = f"{row['roofline_share']:.0%}"
    if "lm_roofline_share" not in row:
        return whole
    halves = [f"{100 * row[f'{half}_roofline_share']:.0f}" for half in ("lm", "codec")]
    return f"{whole} ({', '.join(halves)})"


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 2**30:.2f} GiB" if name.endswith("_bytes") else f"{value:.2f}"


def _agreement(row: Row, baseline: Row) -> str:
    """`yes` if the codes begin as the baseline's do, as far as that spoke."""
    if row["system"] == "mixed" or "codes" not in row:
        return "–"
    shared = min(len(row["codes"]), len(baseline["codes"]))
    return "yes" if row["codes"][:shared] == baseline["codes"][:shared] else "no"
