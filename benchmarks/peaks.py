"""The peaks of this machine, in a process of its own; prints JSON.

Each peak is the best of several products, or ways to read, and of many runs: other work on the
machine makes a run slower only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.roofline import GIGA, Peak, Peaks
from worker.engine.kernels.compiler import CannotCompile
from worker.engine.kernels.float_product import CompiledFloatLinear
from worker.engine.kernels.int8_product import CompiledInt8Linear, round_rows
from worker.engine.nn.linear import linear
from worker.engine.precision import Precision
from worker.model.cpu import set_up_cpu

ROOT = Path(__file__).resolve().parents[1]
# A product that is large in each dimension: rows, inputs, outputs.
ROWS, INPUTS, OUTPUTS = 1024, 2048, 4096
# More than the cache of any processor; and the width of a row of it.
READ_BYTES, READ_WIDTH = 2**29, 4096
# A run is repeated for so long.
TIMED_S = 0.7

Run = Callable[[], object]


def measure_peaks() -> Peaks:
    """The peaks, measured in a child process."""
    command = [sys.executable, "-m", "benchmarks.peaks"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return {name: Peak(**peak) for name, peak in json.loads(ran.stdout).items()}


def higher_peaks(*measured: Peaks) -> Peaks:
    """The higher of each peak."""
    return {name: max(peaks[name] for peaks in measured) for name in measured[0]}


@torch.inference_mode()
def main() -> None:
    """Measure all peaks with as many threads as the engine has."""
    set_up_cpu()
    operations = 2 * ROWS * INPUTS * OUTPUTS
    peaks = {
        "int8": peak(operations, int8_products()),
        "bfloat16": peak(operations, float_products(Precision.BFLOAT16)),
        "float32": peak(operations, float_products(Precision.FLOAT32)),
        "memory": peak(READ_BYTES, readings()),
    }
    sys.stdout.write(json.dumps({name: found._asdict() for name, found in peaks.items()}))


def peak(count: int, makers: Mapping[str, Callable[[], Run]]) -> Peak:
    """The peak of what makes, or reads, `count` in each run; at least one must work here."""
    found = []
    for name, make in makers.items():
        try:
            found.append(Peak(count / _best_s(make()) / GIGA, name))
        except (CannotCompile, RuntimeError):  # not with this compiler, or not in this torch
            continue
    return max(found)


def int8_products() -> dict[str, Callable[[], Run]]:
    """The int8 products that the engine can use, and torch's public one."""
    layer = nn.Linear(INPUTS, OUTPUTS, bias=False)
    x = torch.rand(ROWS, INPUTS)
    left = torch.randint(-127, 128, (ROWS, INPUTS), dtype=torch.int8)
    right = torch.randint(-127, 128, (OUTPUTS, INPUTS), dtype=torch.int8).T
    return {
        "torch._int_mm": lambda: partial(torch._int_mm, left, right),
        "fbgemm": lambda: partial(linear(layer, precision=Precision.INT8), x),
        "our kernel": lambda: partial(CompiledInt8Linear(layer), round_rows(x)),
    }


def float_products(precision: Precision) -> dict[str, Callable[[], Run]]:
    """Products of numbers of a type: MKL or what torch takes, oneDNN, and ours in float32."""
    layer = nn.Linear(INPUTS, OUTPUTS, bias=False, dtype=precision.dtype)
    x = torch.rand(ROWS, INPUTS, dtype=precision.dtype)
    makers: dict[str, Callable[[], Run]] = {
        "torch.mm": lambda: partial(torch.mm, x, layer.weight.T),
        "oneDNN, packed": lambda: partial(linear(layer, precision=precision), x),
    }
    if precision is Precision.FLOAT32:
        makers["our kernel"] = lambda: partial(CompiledFloatLinear(layer), x)
    return makers


def readings() -> dict[str, Callable[[], Run]]:
    """Ways to read READ_BYTES once."""
    vector = torch.rand(READ_WIDTH)

    def products() -> Run:
        side = READ_WIDTH**2
        layers = [
            CompiledInt8Linear(nn.Linear(READ_WIDTH, READ_WIDTH, bias=False))
            for _ in range(READ_BYTES // side)
        ]
        row = round_rows(vector[None])
        return lambda: [layer(row) for layer in layers]

    matrix = torch.ones(READ_BYTES // READ_WIDTH // 4, READ_WIDTH)
    flat = matrix.flatten()
    return {
        "torch.mv": lambda: partial(torch.mv, matrix, vector),
        "torch.dot": lambda: partial(torch.dot, flat, flat),
        "our kernel, one row": products,
    }


def _best_s(run: Run) -> float:
    run()  # what is done once only
    times: list[float] = []
    while sum(times) < TIMED_S:
        began_s = time.perf_counter()
        run()
        times.append(time.perf_counter() - began_s)
    return min(times)


if __name__ == "__main__":
    main()
