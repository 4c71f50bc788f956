"""The roofline of a machine with the rows of the table, as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from benchmarks.line_plot import Axis, Point
from benchmarks.roofline import ALLOWED_TYPES, GIGA, Peaks, peak_operations

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 50, 60
COLOURS = {"float32": "#4c78a8", "bfloat16": "#e08a1e", "int8": "#2f8f5b"}
SYSTEMS = {"ours": "ours", "uncompiled": "not compiled", "baseline": "qwen-tts"}


def plot_roofline(rows: Sequence[dict[str, Any]], peaks: Peaks, processor: str) -> str:
    """The picture: roofs, one for each precision; language models as discs, codecs as squares.

    How far a mark lies below its roof is its share of the limit.
    """
    shown = [row for row in rows if "lm_gops" in row]
    speed = peaks["memory"].giga_per_s
    tops = {name: peak_operations(name, peaks) / GIGA for name in ALLOWED_TYPES}
    intensities = [row[f"{half}_intensity"] for row in shown for half in ("lm", "codec")]
    attained = [row[f"{half}_gops"] for row in shown for half in ("lm", "codec")]
    edges = [top / speed for top in tops.values()]
    x = Axis([*intensities, *edges, 1], LEFT, WIDTH - RIGHT)
    y = Axis([*attained, *tops.values()], HEIGHT - BOTTOM, TOP)
    parts = [*_frame(x, y, processor), *_roofs(x, y, tops, speed)]
    for row in shown:
        parts += _marks(row, x, y)
    parts += _legend()
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12" fill="#333"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _frame(x: Axis, y: Axis, processor: str) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    yield _text(LEFT, TOP - 22, f"Roofline of {processor}", 'font-size="15" font-weight="bold"')
    for value in x.ticks():
        yield _line([(x(value), TOP), (x(value), bottom)], "#eee")
        yield _text(x(value), bottom + 18, f"{value:g}", 'text-anchor="middle"')
    for value in y.ticks():
        yield _line([(LEFT, y(value)), (right, y(value))], "#eee")
        yield _text(LEFT - 8, y(value) + 4, f"{value:g}", 'text-anchor="end"')
    yield _line([(LEFT, TOP), (LEFT, bottom), (right, bottom)], "#888")
    middle = 'text-anchor="middle"'
    yield _text((LEFT + right) / 2, HEIGHT - 18, "operations for each byte of weights", middle)
    turned = f'{middle} transform="rotate(-90 20 {(TOP + bottom) / 2:.0f})"'
    yield _text(20, (TOP + bottom) / 2, "GOP/s", turned)


def _roofs(x: Axis, y: Axis, tops: dict[str, float], speed: float) -> Iterator[str]:
    least, most = x.ends
    start, end = max(least, y.ends[0] / speed), max(tops.values()) / speed
    yield _line([(x(at), y(at * speed)) for at in (start, end)], "#888", width=2)
    for name, top in tops.items():
        yield _line([(x(top / speed), y(top)), (x(most), y(top))], COLOURS[name], width=2)
    # Roofs of one height, as of types that are computed as another one, are named together.
    for top in sorted(set(tops.values())):
        names = ", ".join(name for name, own in tops.items() if own == top)
        yield _text(WIDTH - RIGHT + 6, y(top) + 4, f"{names}: {top:.0f} GOP/s")
    middle = math.sqrt(start * end)
    yield _text(x(middle) - 8, y(middle * speed) - 4, f"{speed:.0f} GB/s", 'text-anchor="end"')


def _marks(row: dict[str, Any], x: Axis, y: Axis) -> Iterator[str]:
    colour = COLOURS[row["precision"]]
    is_filled = row["system"] == "ours"
    paint = f'fill="{colour if is_filled else "#fff"}" stroke="{colour}" stroke-width="1.5"'
    system = SYSTEMS.get(row["system"], row["system"].replace("_", "-"))
    told = f"{system}, {row['precision']}, {row['slots']} at once"
    for half, name in (("lm", "language model"), ("codec", "codec")):
        left, top = x(row[f"{half}_intensity"]), y(row[f"{half}_gops"])
        title = f"<title>{escape(told)}: {name}, {row[f'{half}_roofline_share']:.0%}</title>"
        yield _mark(half, left, top, paint, title)
        if is_filled and half == "lm":  # the codec's come in the same order
            yield _text(left + 7, top + 11, str(row["slots"]), 'font-size="10"')


def _mark(half: str, left: float, top: float, paint: str, inner: str = "") -> str:
    if half == "lm":
        return f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4.5" {paint}>{inner}</circle>'
    box = f'x="{left - 4:.1f}" y="{top - 4:.1f}" width="8" height="8"'
    return f"<rect {box} {paint}>{inner}</rect>"


def _legend() -> Iterator[str]:
    left, top = WIDTH - RIGHT + 12, HEIGHT - BOTTOM - 128
    black, hollow = 'fill="#333" stroke="#333"', 'fill="#fff" stroke="#333" stroke-width="1.5"'
    marks = [("lm", black, "language model"), ("codec", black, "codec")]
    marks += [("lm", hollow, "not compiled, qwen-tts")]
    for number, (half, paint, name) in enumerate(marks):
        yield _mark(half, left, top + 20 * number, paint)
        yield _text(left + 12, top + 20 * number + 4, name)
    for number, (name, colour) in enumerate(COLOURS.items(), len(marks)):
        yield _line([(left - 6, top + 20 * number), (left + 6, top + 20 * number)], colour, width=3)
        yield _text(left + 12, top + 20 * number + 4, name)
    yield _text(left - 6, top + 20 * 6 + 4, "number: requests at once")


def _line(points: Sequence[Point], colour: str, width: float = 1) -> str:
    drawn = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(left: float, top: float, text: str, options: str = "") -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" {options}>{escape(text)}</text>'
