"""Runs are captured once for each key, and replayed over tensors that stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from tests.support.pretend_capture import PretendCapture
from worker.engine.nn.graphs import Captured, Graphs, Tensors, rounded_up


@pytest.fixture
def capture() -> PretendCapture:
    return PretendCapture()


def double(x: Tensor, y: Tensor) -> Tensors:
    return 2 * x, x + y


def pair(rows: int) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, 3), torch.randn(rows, 1)


@pytest.mark.parametrize("rows", [1, 2, 8, 9, 13])
def test_a_run_is_captured_once_and_follows_its_inputs(capture: PretendCapture, rows: int) -> None:
    graphs = Graphs(capture, max_rows=16)
    for _ in range(3):
        x, y = pair(rows)
        for found, expected in zip(graphs.run("f", 0, double, (x, y)), double(x, y), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert (capture.captures, capture.replays) == (1, 3)


def test_results_outlive_the_next_run(capture: PretendCapture) -> None:
    graphs = Graphs(capture, max_rows=4)
    x, y = pair(2)
    doubled, _ = graphs.run("f", 0, double, (x, y))
    graphs.run("f", 0, double, pair(2))
    torch.testing.assert_close(doubled, 2 * x)


def test_numbers_of_rows_share_a_run_and_never_exceed_the_bound(capture: PretendCapture) -> None:
    widths: list[int] = []

    def note(x: Tensor) -> Tensors:
        widths.append(len(x))
        return (x + 1,)

    graphs = Graphs(capture, max_rows=19)
    for rows in (9, 10, 17, 18, 19):
        x = torch.randn(rows, 2)
        (found,) = graphs.run("f", 0, note, (x,))
        torch.testing.assert_close(found, x + 1)
    assert set(widths) == {10, 19}
    assert capture.captures == 2


def test_names_and_variants_have_runs_of_their_own(capture: PretendCapture) -> None:
    graphs = Graphs(capture, max_rows=4)
    x = torch.randn(2, 3)
    for name, variant, add in (("f", 0, 1), ("f", 1, 2), ("g", 0, 3)):
        for _ in range(2):
            (found,) = graphs.run(name, variant, lambda x, add=add: (x + add,), (x,))
            torch.testing.assert_close(found, x + add)
    graphs.drop("f")
    assert len(graphs) == 1
    (found,) = graphs.run("f", 0, lambda x: (x + 9,), (x,))
    torch.testing.assert_close(found, x + 9)


def test_the_runs_used_least_recently_are_dropped(capture: PretendCapture) -> None:
    graphs = Graphs(capture, max_rows=8, max_graphs=2)
    for rows in (1, 2, 1, 3, 1):
        graphs.run("f", 0, double, pair(rows))
    assert (len(graphs), capture.captures) == (2, 3)
    graphs.run("f", 0, double, pair(2))
    assert capture.captures == 4


@pytest.mark.parametrize("good", [0, 1, 2])
def test_after_a_failed_capture_all_runs_are_made_without(
    good: int, caplog: pytest.LogCaptureFixture
) -> None:
    captured = PretendCapture()

    def fail(run: Callable[[], Tensors]) -> Captured:
        if captured.captures < good:
            return captured(run)
        raise torch.OutOfMemoryError("out of memory\nTried to allocate")

    graphs = Graphs(fail, max_rows=8)
    for rows in (1, 2, 3, 4, 1):
        x, y = pair(rows)
        for found, expected in zip(graphs.run("f", 0, double, (x, y)), double(x, y), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
    (record,) = caplog.records
    assert record.getMessage().endswith("slower: out of memory")
    assert len(graphs) == 0
    assert captured.replays == good


def test_an_error_that_is_none_of_the_capture_is_raised() -> None:
    def fail(_: Callable[[], Tensors]) -> NoReturn:
        raise KeyError

    with pytest.raises(KeyError):
        Graphs(fail, max_rows=8).run("f", 0, double, pair(1))


@pytest.mark.parametrize("step", [1, 64])
def test_numbers_are_rounded_up_by_a_quarter_at_most(step: int) -> None:
    rounded = [rounded_up(number, step) for number in range(1, 3_000)]
    for number, result in enumerate(rounded, 1):
        assert number <= result < max(number + step, 1.25 * number)
        assert result % step == 0
        assert rounded_up(result, step) == result
    assert all(low <= high for low, high in pairwise(rounded))
    assert len(set(rounded[:256])) <= 28
    assert [rounded_up(number) for number in (8, 9, 17, 129)] == [8, 10, 20, 160]
