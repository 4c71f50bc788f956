"""The products of ARM processors give the numbers of this one; qemu imitates them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worker.engine.kernels.compiler import COMPILER_FLAGS, SOURCE_FOLDER
from worker.engine.kernels.float_product import CompiledFloatProduct
from worker.engine.kernels.int8_product import Int8Product, round_rows

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
pytestmark = pytest.mark.skipif(
    not all(shutil.which(program) for program in ("c++", COMPILER, EMULATOR)),
    reason=f"needs c++, {COMPILER} and {EMULATOR}",
)


def call(folder: Path, processor: str, source: str, sizes: list[int], *arrays: Tensor) -> Tensor:
    """The result of a source's `product` on an ARM processor; the last array is of its shape."""
    program, result = str(folder / "call"), arrays[-1]
    macros = {"SOURCE": f'"{SOURCE_FOLDER / source}"', "WEIGHT": "bfloat16"}
    macros["ARRAYS"] = len(arrays) - 1
    flags = [f"-D{name}={value}" for name, value in macros.items()]
    main = str(Path(__file__).with_name("call_product.cpp"))
    command = [COMPILER, *COMPILER_FLAGS, f"-march={processor}", "-fopenmp", "-static", *flags]
    subprocess.run([*command, main, "-o", program], check=True)
    given = b"".join(struct.pack("<q", size) for size in sizes)
    for one in arrays[:-1]:
        raw = one.contiguous().view(torch.uint8).numpy().tobytes()
        given += struct.pack("<q", len(raw)) + raw
    given += struct.pack("<q", result.nbytes)
    ran = subprocess.run([EMULATOR, program], input=given, capture_output=True, check=True)
    return torch.frombuffer(bytearray(ran.stdout), dtype=result.dtype).view(result.shape)


@pytest.mark.parametrize("processor", ["armv8-a", "armv8.2-a+dotprod"])
def test_whole_numbers(tmp_path: Path, processor: str) -> None:
    torch.manual_seed(0)
    product = Int8Product(torch.randn(37, 22, 3), torch.randn(37), dilation=2)
    rows = round_rows(torch.randn(2, product.past + 11, 22))
    found = call(
        tmp_path,
        processor,
        "int8_product.cpp",
        [2, 11, 22, 37, 3, 2],
        rows,
        *(product._weight, product._offset, product._scale, product._bias),
        expected := product(rows),
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_float(tmp_path: Path) -> None:
    torch.manual_seed(0)
    product = CompiledFloatProduct(torch.randn(37, 23, 3).bfloat16(), torch.randn(37), dilation=2)
    x = torch.randn(2, 4 + 11, 23)
    expected = product(x)
    sizes = [2, 11, 23, 37, 3, 2]
    arrays = x, product._weight, product._bias, expected
    found = call(tmp_path, "armv8-a", "float_product.cpp", sizes, *arrays)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
