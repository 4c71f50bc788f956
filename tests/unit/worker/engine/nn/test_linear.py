"""Products: the private operations are there, and give the numbers of the public ones."""

from __future__ import annotations

import pytest
import torch

from worker.engine.nn import linear as module
from worker.engine.nn.linear import (
    Int8Linear,
    PackedConvolution,
    PackedLinear,
    PlainConvolution,
    PlainLinear,
    can_multiply_int8,
    convolution,
    linear,
    linear_from_weight,
)
from worker.engine.precision import Precision

# oneDNN computes in bfloat16 on processors with AVX-512 only, and on some of ARM.
HAS_BFLOAT16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
FLOATS = [
    Precision.FLOAT32,
    pytest.param(
        Precision.BFLOAT16,
        marks=pytest.mark.skipif(not HAS_BFLOAT16, reason="oneDNN has no bfloat16 here"),
    ),
]


def close(precision: Precision) -> dict[str, float]:
    return {"rtol": 1e-5, "atol": 1e-5} if precision is Precision.FLOAT32 else {}


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 16, 40])
def test_packed_products_are_the_plain_ones(precision: Precision, bias: bool, rows: int) -> None:
    torch.manual_seed(0)
    dtype = precision.dtype
    modules = [torch.nn.Linear(96, size, bias=bias).to(dtype) for size in (64, 32, 32)]
    packed = linear(*modules, precision=precision)
    assert isinstance(packed, PackedLinear), (
        "this torch lacks the private operations: it will be slow"
    )
    x = torch.randn(rows, 3, 96).to(dtype)
    with torch.inference_mode():
        expected = torch.cat([module(x) for module in modules], dim=-1)
        torch.testing.assert_close(packed(x), expected, **close(precision))


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("dilation", [1, 3])
def test_packed_convolutions_are_the_plain_ones(precision: Precision, dilation: int) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(32, 48, 7, dilation=dilation).to(precision.dtype)
    packed = convolution(conv, precision, 20)
    assert isinstance(packed, PackedConvolution), "this torch lacks the private operations"
    plain = PlainConvolution(conv.weight.detach(), conv.bias.detach(), dilation, 1)
    for rows, time in ((1, 20), (3, 20), (2, 5)):
        x = torch.randn(rows, time + 6 * dilation, 32).to(precision.dtype)
        with torch.inference_mode():
            expected = conv(x.transpose(1, 2)).transpose(1, 2)
            torch.testing.assert_close(packed(x), expected, **close(precision))
            torch.testing.assert_close(plain(x), expected, **close(precision))


def test_without_the_private_operations_the_public_ones_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "can_pack", lambda _weight: False)
    plain = linear_from_weight(torch.eye(4), torch.ones(4), Precision.FLOAT32)
    assert isinstance(plain, PlainLinear)
    torch.testing.assert_close(plain(torch.ones(1, 4)), torch.full((1, 4), 2.0))


def vnni() -> bool:
    return torch.cpu._is_vnni_supported()


def test_int8_is_there_on_a_processor_that_can() -> None:
    assert can_multiply_int8() or not vnni(), "this torch lacks the private operations"


@pytest.mark.parametrize("bias", [True, False])
def test_int8_is_near_and_its_public_form_the_same(
    monkeypatch: pytest.MonkeyPatch, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(256, 128, bias=bias)
    x = torch.randn(9, 2, 256) * torch.rand(9, 1, 1) * 10
    fast = linear(layer, precision=Precision.INT8)
    monkeypatch.setattr(module, "can_multiply_int8", lambda: False)
    public = linear(layer, precision=Precision.INT8)
    assert isinstance(public, Int8Linear)
    assert not public.is_packed
    with torch.inference_mode():
        exact = layer(x)
        torch.testing.assert_close(fast(x), public(x), rtol=1e-5, atol=1e-5)
        assert (fast(x) - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 33])
def test_int8_rows_do_not_depend_on_their_neighbours(rows: int) -> None:
    torch.manual_seed(0)
    int8 = linear_from_weight(torch.randn(64, 128), None, Precision.INT8)
    x = torch.randn(rows, 128) * torch.logspace(-3, 3, rows)[:, None]
    together = int8(x)
    for row in range(rows):
        assert torch.equal(int8(x[row : row + 1])[0], together[row])


def test_int8_of_nothing_is_nothing() -> None:
    int8 = linear_from_weight(torch.zeros(8, 16), torch.ones(8), Precision.INT8)
    assert torch.equal(int8(torch.zeros(2, 16)), torch.ones(2, 8))
    assert torch.equal(int8(torch.full((1, 16), 1e30)), torch.ones(1, 8))
