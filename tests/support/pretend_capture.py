"""In place of CUDA graphs: a replay does the captured run again, with all that it had then."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worker.engine.nn.graphs import Captured, Tensors
from worker.engine.nn.kv_cache import KVCache


class PretendCapture:
    """Obeys `Capture`; the outputs hold nothing until the first replay.

    `captures` and `replays` count. With the caches that runs touch in `touched`, a replay fails if
    their tensors are not those of the capture: a graph would write to freed memory.
    """

    def __init__(self) -> None:
        self.captures = self.replays = 0
        self.touched: list[KVCache] = []

    def __call__(self, run: Callable[[], Tensors]) -> Captured:
        self.captures += 1
        outputs = tuple(torch.full_like(output, -1) for output in self._run(run)[0])
        _, captured = self._run(run)

        def replay() -> None:
            self.replays += 1
            results, tensors = self._run(run)
            assert len(tensors) == len(captured)
            assert all(new is old for new, old in zip(tensors, captured, strict=True)), "moved"
            for output, result in zip(outputs, results, strict=True):
                output.copy_(result)

        return Captured(replay, outputs)

    def _run(self, run: Callable[[], Tensors]) -> tuple[Tensors, list[Tensor]]:
        self.touched.clear()
        results = run()
        return results, [one for cache in self.touched for one in (*cache.keys, *cache.values)]
