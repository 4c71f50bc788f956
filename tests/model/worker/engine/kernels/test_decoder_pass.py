"""A pass in one call gives the bits of a pass layer by layer."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from worker.engine.kernels.decoder import COMPILED, COMPILED_INT8, DecoderProducts, FusedDecoder
from worker.engine.nn.decoder import ForwardContext
from worker.engine.nn.kv_cache import KVCache
from worker.engine.precision import Precision

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
SLOTS, ROOM, LAYERS = 6, 12, 3
# Hidden and intermediate size, heads, groups, head size.
SIZES = [(64, 96, 4, 2, 16), (51, 101, 3, 1, 12)]


class Call(NamedTuple):
    """Tokens [rows, length] that begin at position `start` of the cache's rows from `first` on."""

    rows: int
    length: int
    start: int | list[int]
    first: int = 0


CALLS = {
    "one row": Call(1, 1, [7], first=1),
    "rows at different positions": Call(5, 1, [3, 0, 11, 7, 4], first=1),
    "a prompt": Call(1, 9, 2),
    "the beginning of a frame": Call(3, 2, 0),
    "a code of a frame": Call(4, 1, 5),
}


class Paths(NamedTuple):
    """A decoder in one call, and with equal weights layer by layer."""

    whole: FusedDecoder
    layered: FusedDecoder


@pytest.fixture(params=list(Precision))
def precision(request: pytest.FixtureRequest) -> Precision:
    torch.manual_seed(0)
    return Precision(request.param)


@pytest.fixture(params=SIZES, ids=str)
def paths(request: pytest.FixtureRequest, precision: Precision) -> Paths:
    module, config = a_transformer(*request.param)
    products = COMPILED_INT8 if precision is Precision.INT8 else COMPILED

    def make_linear(*modules: Any) -> Callable[[Any], Tensor]:
        return products.make_linear(*modules)

    others = DecoderProducts(make_linear, is_rounded=products.is_rounded)
    return Paths(
        FusedDecoder(module, config, precision), FusedDecoder(module, config, precision, others)
    )


def a_transformer(hidden: int, wide: int, heads: int, groups: int, size: int) -> tuple[Any, Any]:
    """A module, whose second layer has bfloat16 weights."""

    def norm(width: int) -> Any:
        return SimpleNamespace(weight=torch.rand(width) + 0.5, variance_epsilon=1e-6)

    def layer(number: int) -> Any:
        def product(inputs: int, outputs: int) -> torch.nn.Linear:
            made = torch.nn.Linear(inputs, outputs, bias=False)
            return made.bfloat16() if number == 1 else made

        attention = SimpleNamespace(
            q_proj=product(hidden, heads * size),
            k_proj=product(hidden, groups * size),
            v_proj=product(hidden, groups * size),
            o_proj=product(heads * size, hidden),
            q_norm=norm(size),
            k_norm=norm(size),
            head_dim=size,
        )
        mlp = SimpleNamespace(
            gate_proj=product(hidden, wide),
            up_proj=product(hidden, wide),
            down_proj=product(wide, hidden),
        )
        return SimpleNamespace(
            self_attn=attention,
            mlp=mlp,
            input_layernorm=norm(hidden),
            post_attention_layernorm=norm(hidden),
        )

    rotary = SimpleNamespace(inv_freq=0.1 ** torch.arange(size // 2))
    config = SimpleNamespace(
        num_attention_heads=heads, num_key_value_heads=groups, head_dim=size, attention_bias=False
    )
    layers = [layer(number) for number in range(LAYERS)]
    return SimpleNamespace(layers=layers, norm=norm(hidden), rotary_emb=rotary), config


def some(call: Call, decoder: FusedDecoder, width: int) -> Tensor:
    return torch.randn(call.rows, call.length, width).to(decoder._precision.dtype)


def a_cache(decoder: FusedDecoder) -> KVCache:
    """A cache that has been written to before, whose layers have grown one by one."""
    cache = decoder.new_cache(SLOTS, long=False)
    cache.fit(ROOM, 0)
    cache.fit(ROOM + 5, SLOTS, 1)
    generator = torch.Generator().manual_seed(1)
    for tensor in (*cache.keys, *cache.values):
        tensor[:, :, :ROOM] = torch.randn(tensor[:, :, :ROOM].shape, generator=generator)
    return cache


def run(decoder: FusedDecoder, x: Tensor, call: Call, cache: KVCache) -> Tensor:
    starts = call.start if isinstance(call.start, list) else [call.start]
    positions = torch.tensor(starts)[:, None] + torch.arange(call.length)
    cos, sin = decoder.rotary(positions)
    start = call.start if isinstance(call.start, int) else torch.tensor(call.start)
    rows = slice(call.first, call.first + call.rows)
    context = ForwardContext(cos, sin, start, None, int(positions.max()) + 1, rows)
    return decoder(x, context, cache)


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def hidden_size(decoder: FusedDecoder) -> int:
    return len(decoder._norm.weight)


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
@pytest.mark.parametrize("loud", [1.0, 1e38, torch.nan])
def test_one_call_gives_the_bits_of_many(paths: Paths, call: Call, loud: float) -> None:
    x = some(call, paths.whole, hidden_size(paths.whole))
    x[-1, -1, 3] *= loud
    caches = [a_cache(decoder) for decoder in paths]
    assert len({keys.shape[2] for keys in caches[0].keys}) == 2
    before = x.clone()
    found, expected = (
        run(decoder, x, call, cache) for decoder, cache in zip(paths, caches, strict=True)
    )
    assert_same(x, before)
    assert_same(found, expected)
    assert found[-1, -1].isfinite().all() == (not math.isnan(loud))
    for own, other in zip(caches[0].keys, caches[1].keys, strict=True):
        assert_same(own, other)
    for own, other in zip(caches[0].values, caches[1].values, strict=True):
        assert_same(own, other)


def test_a_row_is_the_same_in_company(paths: Paths) -> None:
    starts = [3, 0, 11, 7, 4]
    x = some(Call(5, 1, starts), paths.whole, hidden_size(paths.whole))
    x[2] *= torch.nan
    together = run(paths.whole, x, Call(5, 1, starts), a_cache(paths.whole))
    for row in (0, 1, 3, 4):
        call = Call(1, 1, [starts[row]], first=row)
        assert_same(
            run(paths.whole, x[row : row + 1], call, a_cache(paths.whole))[0], together[row]
        )
