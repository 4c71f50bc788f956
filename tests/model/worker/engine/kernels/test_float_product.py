"""Products in float32 with weights of half the size are exact, on every kind of processor."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.nn import functional as F

from worker.engine.kernels.float_product import CompiledFloatLinear, CompiledFloatProduct

pytestmark = [
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
    pytest.mark.usefixtures("processor"),
]


@pytest.mark.parametrize("outputs", [(48, 16), (3, 7), (65,)])
@pytest.mark.parametrize("inputs", [36, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_that_of_float32(
    inputs: int, outputs: tuple[int, ...], dtype: torch.dtype
) -> None:
    modules = [torch.nn.Linear(inputs, size, bias=False).to(dtype) for size in outputs]
    multiply = CompiledFloatLinear(*modules)
    x = torch.randn(100, inputs)
    weight = torch.cat([module.weight.detach() for module in modules]).float()
    found = multiply(x)
    torch.testing.assert_close(found, F.linear(x, weight), rtol=0, atol=1e-5)
    for rows in (1, 2, 6, 8, 9, 17):  # in whatever company
        assert torch.equal(multiply(x[:rows]), found[:rows])


def test_only_weights_that_are_short_are_kept_short() -> None:
    weight = torch.randn(16, 6, 1).bfloat16()
    assert CompiledFloatProduct(weight)._weight.dtype is torch.bfloat16
    exact = weight.float()
    assert CompiledFloatProduct(exact)._weight.dtype is torch.bfloat16
    exact[3, 2] += 1e-4
    assert CompiledFloatProduct(exact)._weight.dtype is torch.float32


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (2, 1), (7, 1), (3, 9)])
@pytest.mark.parametrize("time", [1, 5, 130])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_is_that_of_float32(
    taps: int, dilation: int, time: int, dtype: torch.dtype
) -> None:
    weight, bias = torch.randn(37, 21, taps).to(dtype).float(), torch.randn(37)
    convolve = CompiledFloatProduct(weight, bias, dilation)
    x = torch.randn(3, (taps - 1) * dilation + time, 21)
    expected = F.conv1d(x.transpose(1, 2), weight, bias, dilation=dilation).transpose(1, 2)
    found = convolve(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)
    for row in range(3):  # alone, as in company
        assert torch.equal(convolve(x[row : row + 1]), found[row : row + 1])
