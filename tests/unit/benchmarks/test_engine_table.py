import io
from typing import Any

from rich.console import Console

from benchmarks.engine_table import (
    compare,
    print_comparison,
    print_peaks,
    print_table,
    share_cell,
    usual_rtf,
)
from benchmarks.roofline import Peak


def row(system: str, rtf: float, slots: int = 1, **more: Any) -> dict[str, Any]:
    return {"system": system, "precision": "int8", "slots": slots, "rtf": rtf, "ratio": 2.0, **more}


ROWS = [
    row("baseline", 8.0, codes=[[1], [2]]),
    row(
        "ours",
        1.0,
        codes=[[1], [2], [3]],
        roofline_share=0.5,
        lm_roofline_share=0.61,
        codec_roofline_share=0.4,
    ),
    row("ours", 0.25, slots=16, codes=[[1], [4]]),
    row("ours", 0.5, slots=32, codes=[[1], [4]]),
    row("vox", 2.0),
    row("vox", 1.0, slots=2),
    row("baseline", 6.0, codes=[[1], [2]]),
]


def printed(show: Any, *args: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(console, *args)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_baseline_is_the_mean_of_the_rows_before_and_after() -> None:
    assert usual_rtf(ROWS, 2) == 7.0
    assert usual_rtf(ROWS, 0) == 8.0


def test_share_is_told_with_both_halves_where_they_are_known() -> None:
    assert share_cell(ROWS[1]) == "50% (61, 40)"
    assert share_cell({"roofline_share": 0.5}) == "50%"
    assert share_cell({}) == "–"


def test_table_has_a_line_for_each_row() -> None:
    table = printed(print_table, ROWS, 24)
    lines = [line for line in table.splitlines() if "2.0×" in line]
    assert len(lines) == len(ROWS)
    assert "50% (61, 40)" in lines[1]
    assert [line.split()[-2] for line in lines] == ["yes", "yes", "no", "no", "–", "–", "yes"]


def test_peer_is_compared_alone_and_at_the_best_number_at_once() -> None:
    assert compare(ROWS, "vox") == [
        ("1 at once", ROWS[4], ROWS[1]),
        ("best", ROWS[5], ROWS[2]),
    ]
    table = printed(print_comparison, ROWS, "vox", "Beside it")
    assert "2.00 (1 at once)" in table
    assert "0.25 (16 at once)" in table
    assert " 0.50 " in table


def test_peer_without_rows_is_not_compared() -> None:
    assert compare(ROWS[:4], "vox") == []


def test_peaks_are_told_with_their_units() -> None:
    peaks = {"int8": Peak(681.4, "ours"), "memory": Peak(25.2, "torch.mv")}
    told = printed(print_peaks, "A processor", 2, peaks)
    assert told == ("A processor, 2 threads: int8 681 GOP/s (ours), memory 25 GB/s (torch.mv)\n")
