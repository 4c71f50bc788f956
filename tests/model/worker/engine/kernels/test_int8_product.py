"""Products and convolutions of whole numbers are those of torch, on every kind of processor."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.rounded_rows import rounded_values, row_scales
from worker.engine.kernels.int8_product import (
    CompiledInt8Linear,
    Int8Product,
    missing_instructions,
    round_rows,
)
from worker.engine.nn.linear import linear
from worker.engine.precision import Precision

pytestmark = [
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
    pytest.mark.usefixtures("processor"),
]


def meant(rows: Tensor, inputs: int) -> Tensor:
    """The numbers of rounded rows."""
    return rounded_values(rows, inputs) * row_scales(rows)


def assert_close(found: Tensor, expected: Tensor, part: float = 1e-5) -> None:
    most = part * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=most)


@pytest.mark.parametrize("inputs", [36, 72, 13])
def test_rows_are_rounded_each_by_its_own_scale(inputs: int) -> None:
    x = torch.randn(5, 2, inputs)[:, 1] * torch.tensor([1, 10, 100, 0.1, 1e-3])[:, None]
    found = meant(round_rows(x), inputs)
    for row, its in zip(found, x, strict=True):
        assert_close(row, its, 1 / 250)


@pytest.mark.parametrize("outputs", [(48, 16), (3, 7), (33,)])
@pytest.mark.parametrize("rows", [1, 2, 6, 7, 16, 17, 100])
@pytest.mark.parametrize("inputs", [36, 7])
def test_a_product_is_that_of_int8(rows: int, inputs: int, outputs: tuple[int, ...]) -> None:
    modules = [torch.nn.Linear(inputs, size, bias=False) for size in outputs]
    multiply = CompiledInt8Linear(*modules)
    rounded = round_rows(torch.randn(rows, inputs))
    expected = linear(*modules, precision=Precision.INT8)(meant(rounded, inputs))
    assert_close(multiply(rounded), expected)


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (2, 1), (7, 1), (7, 9), (3, 2)])
@pytest.mark.parametrize("time", [1, 5, 130])
def test_a_convolution_is_the_sum_of_its_taps(taps: int, dilation: int, time: int) -> None:
    weight, bias = torch.randn(37, 22, taps), torch.randn(37)
    convolve = Int8Product(weight, bias, dilation)
    rounded = round_rows(torch.randn(3, convolve.past + time, 22))
    scale = weight.flatten(1).abs().amax(1)[:, None, None] / 127
    kernel = (weight / scale).round() * scale
    image = meant(rounded, 22).transpose(1, 2)
    expected = F.conv1d(image, kernel, bias, dilation=dilation).transpose(1, 2)
    found = convolve(rounded)
    assert_close(found, expected)
    into = torch.randn(3, time, 37)
    assert_close(convolve(rounded, into=into.clone()), into + expected)

    alpha, height = torch.rand(37) * 3, torch.rand(37)
    bent = expected + (expected * alpha).sin().square() * height
    assert_close(meant(convolve.then_snake(rounded, alpha, height), 37), bent, 1 / 120)
    for row in range(3):  # alone, as in company
        assert torch.equal(convolve(rounded[row : row + 1]), found[row : row + 1])


@pytest.mark.parametrize("inputs", [4096, 4093, 1])
def test_the_largest_numbers_are_summed_up_exactly(inputs: int) -> None:
    sign = torch.where(torch.arange(inputs) % 3 == 0, -1.0, 1.0)
    rows = torch.stack([torch.ones(inputs), -torch.ones(inputs), sign, torch.zeros(inputs), -sign])
    weight = torch.stack([rows[i % len(rows)] for i in range(17)])
    rounded = round_rows(rows[None] * 127)
    assert torch.equal(rounded_values(rounded[0], inputs), rows * 127)
    found = Int8Product(weight[..., None] * 127)(rounded)
    assert torch.equal(found[0], rows @ weight.T * 127**2)


def test_the_beginning_of_a_speech_is_zeros() -> None:
    convolve = Int8Product(torch.randn(9, 8, 3))
    rounded = round_rows(torch.randn(1, 4, 8))
    begun = torch.cat([torch.zeros_like(rounded[:, :2]), rounded], dim=1)
    silence = round_rows(torch.zeros(1, 2, 8))
    assert torch.equal(convolve(begun), convolve(torch.cat([silence, rounded], dim=1)))


@pytest.mark.parametrize(
    ("processor", "missing"),
    [("AVX-VNNI", "AVX-512"), ("AVX2", "VNNI"), ("any", "AVX2 or, on ARM, the dot product")],
    indirect=["processor"],
)
def test_what_a_processor_lacks_is_known(missing: str) -> None:
    assert missing_instructions() == missing
