"""The products of ARM processors give the numbers of this one; qemu imitates them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.programs import ARM_COMPILER, ARM_EMULATOR, compile_program, run_program
from worker.engine.kernels import compiler
from worker.engine.kernels.float_product import CompiledFloatProduct
from worker.engine.kernels.int8_product import Int8Product, round_rows

pytestmark = pytest.mark.skipif(
    not all(shutil.which(program) for program in ("c++", ARM_COMPILER, ARM_EMULATOR)),
    reason=f"needs c++, {ARM_COMPILER} and {ARM_EMULATOR}",
)
# Instructions to compile for, and a processor that has no more than these.
PROCESSORS = {
    "armv8-a": "cortex-a72",
    "armv8.2-a+dotprod": "neoverse-n1",
    "armv8.2-a+i8mm": "max",
}
DOT_PRODUCT, I8MM = list(PROCESSORS)[1:]


@pytest.fixture(autouse=True)
def layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay rows and weights out as ARM has them, which is also how plain loops do."""
    monkeypatch.setattr(compiler, "PROCESSOR_FLAGS", ("-march=native", "-DPLAIN"))


def compiled(folder: Path, instructions: str, source: str, arrays: int) -> Path:
    """A program that calls `product` of a source, which has as many arrays beside its result."""
    main = Path(__file__).with_name("call_product.cpp")
    macros = {"WEIGHT": "bfloat16", "ARRAYS": arrays}
    flags = [f"-march={instructions}"]
    return compile_program(folder / instructions, main, source, flags, ARM_COMPILER, **macros)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The product of whole numbers, compiled for each kind of processor."""
    folder = tmp_path_factory.mktemp("programs")
    return {kind: compiled(folder, kind, "int8_product.cpp", 5) for kind in PROCESSORS}


def call(program: Path, processor: str, sizes: list[int], *arrays: Tensor) -> Tensor:
    """The result of a program on an ARM processor."""
    return run_program([ARM_EMULATOR, "-cpu", processor, program], sizes, *arrays)


@pytest.mark.parametrize(
    ("time", "inputs", "outputs", "taps"),
    [(11, 22, 37, 3), (1, 64, 48, 1), (7, 13, 16, 1), (2, 36, 5, 2)],
)
def test_whole_numbers(
    programs: dict[str, Path], time: int, inputs: int, outputs: int, taps: int
) -> None:
    torch.manual_seed(0)
    product = Int8Product(torch.randn(outputs, inputs, taps), torch.randn(outputs), dilation=2)
    rows = round_rows(torch.randn(2, product.past + time, inputs))
    sizes = [2, time, inputs, outputs, taps, 2]
    own = product._weight, product._offset, product._scale, product._bias
    expected = product(rows)
    found = {
        kind: call(programs[kind], processor, sizes, rows, *own, expected)
        for kind, processor in PROCESSORS.items()
    }
    for one in found.values():
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-5)
    assert torch.equal(found[I8MM], found[DOT_PRODUCT])


def test_the_largest_numbers(programs: dict[str, Path]) -> None:
    product = Int8Product(torch.full((16, 4096, 1), -1.0))
    rows = round_rows(torch.tensor([1.0, -1.0, 0.0])[None, :, None].repeat(1, 1, 4096))
    own = product._weight, product._offset, product._scale, product._bias
    expected = torch.tensor([-4096.0, 4096.0, 0.0])[None, :, None].repeat(1, 1, 16)
    for kind, processor in PROCESSORS.items():
        found = call(programs[kind], processor, [1, 3, 4096, 16, 1, 1], rows, *own, expected)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("instructions", [DOT_PRODUCT, I8MM])
def test_instructions_are_used_where_they_are(programs: dict[str, Path], instructions: str) -> None:
    kinds = list(PROCESSORS)
    lesser = PROCESSORS[kinds[kinds.index(instructions) - 1]]
    product = Int8Product(torch.randn(16, 8, 1))
    rows = round_rows(torch.randn(1, 1, 8))
    own = product._weight, product._offset, product._scale, product._bias
    with pytest.raises(subprocess.CalledProcessError):
        call(programs[instructions], lesser, [1, 1, 8, 16, 1, 1], rows, *own, product(rows))


def test_float(tmp_path: Path) -> None:
    torch.manual_seed(0)
    product = CompiledFloatProduct(torch.randn(37, 23, 3).bfloat16(), torch.randn(37), dilation=2)
    x = torch.randn(2, 4 + 11, 23)
    expected = product(x)
    sizes = [2, 11, 23, 37, 3, 2]
    arrays = x, product._weight, product._bias, expected
    program = compiled(tmp_path, "armv8-a", "float_product.cpp", 3)
    found = call(program, PROCESSORS["armv8-a"], sizes, *arrays)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
