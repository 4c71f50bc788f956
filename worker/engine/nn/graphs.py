"""Runs that are captured once and replayed: as a CUDA graph, one launch instead of thousands."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]

# A graph of one frame's 15 passes has some 2,000 launches, and takes a few MiB beside the memory
# that all graphs share. 16 rows and less are rounded to 12 numbers of rows; with two lengths and
# two kinds of sampling in use at a time, those are 48 graphs.
MAX_GRAPHS = 64
# Products choose their algorithm and allocate in the first run, which cannot be captured.
WARM_UP_RUNS = 2


class Captured(NamedTuple):
    """A captured run: `replay` does it again, over the same inputs and into the same `outputs`."""

    replay: Callable[[], object]
    outputs: Tensors


# Captures a run, whose inputs stay where they are; raises `RuntimeError` if it cannot be captured.
Capture = Callable[[Callable[[], Tensors]], Captured]


class _Graph(NamedTuple):
    """A captured run with the tensors that it reads."""

    inputs: Tensors
    captured: Captured


class Graphs:
    """Captured runs of functions from tensors [rows, ...] to tensors [rows, ...].

    A run is captured when it is first needed, for a rounded number of rows, at most `max_rows`. The
    rows beyond those that are asked for compute what was last in them, and are not read. If one
    run cannot be captured, all are made without graphs from then on.
    """

    def __init__(self, capture: Capture, max_rows: int, max_graphs: int = MAX_GRAPHS) -> None:
        self._capture: Capture | None = capture
        self._max_rows, self._max_graphs = max_rows, max_graphs
        self._graphs: OrderedDict[tuple[str, Hashable, int], _Graph] = OrderedDict()

    def __len__(self) -> int:
        """The number of captured runs."""
        return len(self._graphs)

    def run(
        self, name: str, variant: Hashable, function: Callable[..., Tensors], inputs: Tensors
    ) -> Tensors:
        """Run `function(*inputs)`; the results are the caller's own.

        `name` and `variant` stand for the function and all that it reads beside its inputs: it is
        not called again for the same ones.
        """
        rows = len(inputs[0])
        width = min(rounded_up(rows), self._max_rows)
        key = (name, variant, width)
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._add(key, function, inputs)
            if graph is None:
                return function(*inputs)
        else:
            self._graphs.move_to_end(key)
            for kept, new in zip(graph.inputs, inputs, strict=True):
                kept[:rows].copy_(new)
        graph.captured.replay()
        # The next replay of any graph writes to the memory of these outputs.
        return tuple(output[:rows].clone() for output in graph.captured.outputs)

    def drop(self, name: str) -> None:
        """Forget the runs of this name: what they read beside their inputs has moved."""
        for key in [key for key in self._graphs if key[0] == name]:
            del self._graphs[key]

    def _add(
        self, key: tuple[str, Hashable, int], function: Callable[..., Tensors], inputs: Tensors
    ) -> _Graph | None:
        """Capture a run that reads copies of these inputs; None if that is not possible."""
        if self._capture is None:
            return None
        while len(self._graphs) >= self._max_graphs:
            self._graphs.popitem(last=False)
        more = key[2] - len(inputs[0])
        # The rows beyond those asked for repeat the last one: numbers that the run can work with.
        kept = tuple(torch.cat([one, one[-1:].expand(more, *one.shape[1:])]) for one in inputs)
        try:
            captured = self._capture(lambda: function(*kept))
        except RuntimeError as error:  # out of memory, or an operation that cannot be captured
            reason = str(error).strip().splitlines() or [type(error).__name__]
            _log.warning("Speaking without CUDA graphs, which is slower: %s", reason[0])
            self._capture = None
            self._graphs.clear()
            return None
        self._graphs[key] = graph = _Graph(kept, captured)
        return graph


class CudaCapture:
    """Captures runs as CUDA graphs, which share their memory: only one may be replayed at a time.

    Other threads may use the device meanwhile.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # The default stream cannot be captured.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        # The memory may not be shared with a later graph once the last one that had it is gone.
        self._first: Captured | None = None

    def __call__(self, run: Callable[[], Tensors]) -> Captured:
        """Run some times, then capture; the outputs hold nothing until the first replay."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                if self._first is None:
                    self._first = self._record(lambda: (torch.zeros(1, device=self._device),))
                for _ in range(WARM_UP_RUNS):
                    run()
                return self._record(run)
        finally:
            current.wait_stream(self._stream)

    def _record(self, run: Callable[[], Tensors]) -> Captured:
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            outputs = run()
        except BaseException:
            with suppress(RuntimeError):  # the capture is invalid already
                graph.capture_end()
            raise
        graph.capture_end()
        return Captured(graph.replay, outputs)


def rounded_up(number: int, step: int = 1) -> int:
    """The next multiple of `step`, or of an eighth of the next power of two if that is more.

    1 to 8 are as they are; 9 is 10, 17 is 20, 129 is 160: the higher, the fewer, and never more
    than a quarter is added.
    """
    step = max(step, (1 << (number - 1).bit_length()) // 8)
    return -(-number // step) * step
