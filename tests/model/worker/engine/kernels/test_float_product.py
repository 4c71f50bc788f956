"""Products in float32 with weights of half the size are exact, on every kind of processor."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.nn import functional as F

from worker.engine.kernels import compiler
from worker.engine.kernels.float_product import CompiledFloatLinear

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
    exact = torch.nn.Linear(6, 16, bias=False).bfloat16()
    assert CompiledFloatLinear(exact)._weight.dtype is torch.bfloat16
    assert CompiledFloatLinear(exact.float())._weight.dtype is torch.bfloat16
    exact.weight.data[3, 2] += 1e-4
    assert CompiledFloatLinear(exact)._weight.dtype is torch.float32
    assert not compiler.padded(17, 16) % 16
