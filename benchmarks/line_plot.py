"""Lines on two logarithmic axes, as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 170, 50, 60
# Decades beyond the outermost values.
MARGIN = 0.15

Point = tuple[float, float]


class Axis:
    """A logarithmic axis from one pixel to another, with its decades."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self._low, self._high = math.log10(min(values)) - MARGIN, math.log10(max(values)) + MARGIN
        self._first, self._last = first, last

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        part = (math.log10(value) - self._low) / (self._high - self._low)
        return self._first + part * (self._last - self._first)

    @property
    def ends(self) -> Point:
        """The least value and the most."""
        return 10**self._low, 10**self._high

    def ticks(self) -> Iterator[float]:
        """Powers of ten, and twice and five times them."""
        for power in range(math.floor(self._low), math.ceil(self._high) + 1):
            for factor in (1, 2, 5):
                value = factor * 10.0**power
                if self.ends[0] <= value <= self.ends[1]:
                    yield value


class Line(NamedTuple):
    """Named points; a dashed line has no marks."""

    name: str
    points: Sequence[Point]
    colour: str
    dashed: bool = False


def plot_lines(title: str, x_title: str, y_title: str, lines: Sequence[Line]) -> str:
    """The picture; each point has its value as a tooltip."""
    points = [point for line in lines for point in line.points]
    x = Axis([left for left, _ in points], LEFT, WIDTH - RIGHT)
    y = Axis([height for _, height in points], HEIGHT - BOTTOM, TOP)
    parts = list(_frame(x, y, title, x_title, y_title))
    for number, line in enumerate(lines):
        parts += _drawn(line, x, y)
        parts += _named(line, TOP + 20 * number)
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12" fill="#333"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _frame(x: Axis, y: Axis, title: str, x_title: str, y_title: str) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    yield _text(LEFT, TOP - 22, title, 'font-size="14" font-weight="bold"')
    for value in x.ticks():
        yield _line([(x(value), TOP), (x(value), bottom)], 'stroke="#eee"')
        yield _text(x(value), bottom + 18, f"{value:,g}", 'text-anchor="middle"')
    for value in y.ticks():
        yield _line([(LEFT, y(value)), (right, y(value))], 'stroke="#eee"')
        yield _text(LEFT - 8, y(value) + 4, f"{value:,g}", 'text-anchor="end"')
    yield _line([(LEFT, TOP), (LEFT, bottom), (right, bottom)], 'stroke="#888"')
    yield _text((LEFT + right) / 2, HEIGHT - 18, x_title, 'text-anchor="middle"')
    middle = (TOP + bottom) / 2
    turned = f'text-anchor="middle" transform="rotate(-90 18 {middle:.0f})"'
    yield _text(18, middle, y_title, turned)


def _drawn(line: Line, x: Axis, y: Axis) -> Iterator[str]:
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    places = [(x(left), y(height)) for left, height in line.points]
    yield _line(places, f'stroke="{line.colour}" stroke-width="2"{dash}')
    if line.dashed:
        return
    for (left, top), (value, height) in zip(places, line.points, strict=True):
        told = f"<title>{escape(line.name)}: {value:,g}, {height:,.4g}</title>"
        yield f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{line.colour}">{told}</circle>'


def _named(line: Line, top: float) -> Iterator[str]:
    left = WIDTH - RIGHT + 12
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    places = [(left, top + 8), (left + 22, top + 8)]
    yield _line(places, f'stroke="{line.colour}" stroke-width="2"{dash}')
    yield _text(left + 28, top + 12, line.name)


def _line(points: Sequence[Point], options: str) -> str:
    drawn = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    return f'<polyline points="{drawn}" fill="none" {options}/>'


def _text(left: float, top: float, text: str, options: str = "") -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" {options}>{escape(text)}</text>'
