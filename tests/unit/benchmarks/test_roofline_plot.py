from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.line_plot import Axis
from benchmarks.roofline import Peak
from benchmarks.roofline_plot import plot_roofline

SVG = "{http://www.w3.org/2000/svg}"
PEAKS = {
    "int8": Peak(600, "a"),
    "bfloat16": Peak(50, "b"),
    "float32": Peak(200, "c"),
    "memory": Peak(20, "d"),
}


def row(**changes: Any) -> dict[str, Any]:
    usual = {"system": "ours", "precision": "int8", "slots": 1}
    figures = {
        f"{half}_{name}": value
        for half, intensity in (("lm", 2.0), ("codec", 200.0))
        for name, value in (("intensity", intensity), ("gops", 30.0), ("roofline_share", 0.5))
    }
    return usual | figures | changes


def test_logarithmic_axis_gives_each_decade_the_same_room() -> None:
    axis = Axis([1, 1000], 0, 330)
    assert axis(10) - axis(1) == pytest.approx(axis(1000) - axis(100)) == pytest.approx(100)
    assert list(axis.ticks()) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]


def test_row_has_a_mark_for_each_half() -> None:
    rows = [row(), row(system="baseline", precision="float32"), {"system": "vox", "rtf": 1.0}]
    picture = ElementTree.fromstring(plot_roofline(rows, PEAKS, "A <fast> processor"))
    titles = [title.text for title in picture.iter(f"{SVG}title")]
    assert titles == [
        "ours, int8, 1 at once: language model, 50%",
        "ours, int8, 1 at once: codec, 50%",
        "qwen-tts, float32, 1 at once: language model, 50%",
        "qwen-tts, float32, 1 at once: codec, 50%",
    ]
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "Roofline of A <fast> processor" in texts


def test_roofs_of_one_height_are_named_together() -> None:
    picture = ElementTree.fromstring(plot_roofline([row()], PEAKS, ""))
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "float32, bfloat16: 200 GOP/s" in texts
    assert "int8: 600 GOP/s" in texts


def test_mark_lies_below_its_roof() -> None:
    picture = ElementTree.fromstring(plot_roofline([row()], PEAKS, ""))
    disc = next(one for one in picture.iter(f"{SVG}circle") if one.find(f"{SVG}title") is not None)
    roof = picture.findall(f"{SVG}polyline")[-4]  # of int8: the three of the legend come last
    tops = [float(point.split(",")[1]) for point in roof.attrib["points"].split()]
    assert float(disc.attrib["cy"]) > max(tops)
