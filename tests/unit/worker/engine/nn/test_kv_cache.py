"""The cache grows and shrinks layer by layer, and keeps what it has."""

from __future__ import annotations

import pytest
import torch

from worker.engine.nn.kv_cache import KVCache


@pytest.fixture(params=[False, True])
def cache(request: pytest.FixtureRequest) -> KVCache:
    device = torch.device("cpu")
    return KVCache(3, (2, 1, 4), torch.float32, device, step=8, transposed=request.param)


def rooms(cache: KVCache) -> list[tuple[int, int]]:
    pairs = zip(cache.keys, cache.values, strict=True)
    return [(keys.shape[2], values.shape[2]) for keys, values in pairs]


def test_grows_some_layers_at_a_time_and_keeps_what_is_there(cache: KVCache) -> None:
    cache.fit(5, rows=0)
    assert rooms(cache) == [(8, 8)] * 3
    for layer in range(3):
        cache.keys[layer][:], cache.values[layer][:] = layer + 1, -layer - 1
    cache.fit(9, rows=1, most=2)
    assert rooms(cache) == [(16, 16), (16, 16), (8, 8)]
    assert cache.positions == 8
    cache.fit(9, rows=1, most=2)
    assert cache.positions == 16
    for layer in range(3):
        assert (cache.keys[layer][0, :, :8] == layer + 1).all()
        assert (cache.values[layer][0, :, :8] == -layer - 1).all()
        assert (cache.keys[layer][:, :, 8:] == 0).all()
        assert (cache.keys[layer][1] == 0).all()  # a row that was not in use


def test_gives_up_what_is_more_than_twice_too_much(cache: KVCache) -> None:
    cache.fit(24, rows=0)
    cache.keys[0][0, :, :8] = 7
    cache.fit(9, rows=1)
    assert cache.positions == 24  # soon it may be needed again
    cache.fit(8, rows=1, shrinks=False)
    assert cache.positions == 24
    cache.fit(8, rows=1)
    assert cache.positions == 8
    assert (cache.keys[0][0] == 7).all()


def test_moves_a_row(cache: KVCache) -> None:
    cache.fit(8, rows=0)
    cache.values[1][0, :, :3] = 5
    cache.move(0, 1, 3)
    assert (cache.values[1][1, :, :3] == 5).all()
    assert (cache.values[1][1, :, 3:] == 0).all()


def test_counts_the_layers_that_moved(cache: KVCache) -> None:
    found = []
    for positions, most in ((8, None), (8, None), (9, 2), (9, 2), (3, None), (16, None)):
        cache.fit(positions, rows=0, most=most)
        found.append(cache.moves)
    assert found == [3, 3, 5, 6, 6, 6]
    cache.move(0, 1, 3)
    cache.clear(0)
    assert cache.moves == 6
