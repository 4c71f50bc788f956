"""The compiled kernels give the numbers of the operations that they stand for."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shared.speech_model import SamplingOverrides, Task
from tests.support.rounded_rows import rounded_values, row_scales
from worker.engine.build import build_engine, choose_parts
from worker.engine.codec.products import Snake
from worker.engine.codec.window import WindowAttention
from worker.engine.kernels import compiler
from worker.engine.kernels.compiler import CannotCompile, build, forget_builds
from worker.engine.kernels.decoder_kernels import DecoderKernels, Tokens
from worker.engine.kernels.int8_product import SCALE_BYTES, input_bytes
from worker.engine.kernels.snake import FusedSnake
from worker.engine.kernels.window import FusedWindowAttention
from worker.engine.nn.block import RMSNorm
from worker.engine.nn.decoder import Decoder
from worker.engine.precision import Precision
from worker.engine.request import SynthesisRequest
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
HEAD, HEADS, GROUPS = 16, 4, 2
TYPES = {
    Precision.FLOAT32: (torch.float32, torch.float32),
    Precision.BFLOAT16: (torch.bfloat16, torch.bfloat16),
    Precision.INT8: (torch.float32, torch.bfloat16),
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.fixture(params=list(Precision))
def precision(request: pytest.FixtureRequest) -> Precision:
    torch.manual_seed(0)
    return Precision(request.param)


@pytest.fixture
def kernels(precision: Precision) -> DecoderKernels:
    return DecoderKernels(HEAD, *TYPES[precision], is_rounded=precision is Precision.INT8)


def a_norm(size: int, dtype: torch.dtype) -> RMSNorm:
    return RMSNorm(SimpleNamespace(weight=torch.rand(size) + 0.5, variance_epsilon=1e-6), dtype)


def told(rows: Tensor) -> Tensor:
    """The numbers that a product would read: these widths need no padding."""
    if rows.dtype is not torch.uint8:
        return rows.float()
    inputs = (rows.shape[1] - SCALE_BYTES) // input_bytes()
    values = rounded_values(rows, inputs)
    torch.testing.assert_close(values.abs().amax(1), torch.full((len(values),), 127.0))
    return values * row_scales(rows)


def some(precision: Precision, *shape: int) -> Tensor:
    return torch.randn(shape).to(precision.dtype)


def allowed(precision: Precision) -> float:
    """The error that a result for a product may have, as a part of the largest number."""
    return 1 / 250 if precision is Precision.INT8 else TOLERANCE[precision.dtype]


def assert_close(found: Tensor, expected: Tensor, part: float) -> None:
    most = part * float(expected.abs().max())
    torch.testing.assert_close(found.float(), expected.float(), rtol=0, atol=most)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_norm_adds_and_normalises(
    kernels: DecoderKernels, precision: Precision, rows: int
) -> None:
    x, add = some(precision, rows, 72), some(precision, rows, 72)
    expected = x.float() + add.float()
    norm = a_norm(72, precision.dtype)
    normed = F.rms_norm(expected, (72,), norm.weight.float(), norm.eps)
    last = kernels.final_rms_norm(x.clone(), add, norm)
    assert_close(last, normed, TOLERANCE[precision.dtype])
    found = told(kernels.add_rms_norm(x, add, norm))
    assert_close(x, expected, TOLERANCE[precision.dtype])
    for row, its in zip(found, normed, strict=True):
        assert_close(row, its, allowed(precision))


def test_a_gate_lets_through_what_silu_opens(kernels: DecoderKernels, precision: Precision) -> None:
    x = some(precision, 5, 2 * 72)
    x[0, :72] *= 100  # far out, too
    gate, up = x.float().chunk(2, dim=1)
    for row, its in zip(told(kernels.silu_mul(x)), F.silu(gate) * up, strict=True):
        assert_close(row, its, allowed(precision))


def test_attention_looks_back_in_its_own_row(kernels: DecoderKernels, precision: Precision) -> None:
    """Two rows of the cache, one with two new tokens after three, the other with its first."""
    dtype, cached = TYPES[precision]
    norms = a_norm(HEAD, dtype), a_norm(HEAD, dtype)
    keys, values = (torch.randn(4, GROUPS, 7, HEAD).to(cached) for _ in range(2))
    row, position = torch.tensor([2, 2, 0]), torch.tensor([3, 4, 0])
    angles = torch.randn(3, HEAD // 2).repeat(1, 2)
    sign = torch.tensor([-1.0] * (HEAD // 2) + [1.0] * (HEAD // 2))
    tokens = Tokens(angles.cos(), angles.sin() * sign, row, position)
    x = some(precision, 3, (HEADS + 2 * GROUPS) * HEAD)
    before = keys.clone(), values.clone()
    found = told(kernels.attend(x, norms, tokens, keys, values))

    heads = x.float().view(3, HEADS + 2 * GROUPS, HEAD)
    queries, own, said = heads.split([HEADS, GROUPS, GROUPS], dim=1)
    queries, own = (
        rotated(one, norm, tokens) for one, norm in zip((queries, own), norms, strict=True)
    )
    expected_keys, expected_values = before
    expected_keys[row, :, position] = own.to(cached)
    expected_values[row, :, position] = said.to(cached)
    assert_close(keys, expected_keys, TOLERANCE[cached])
    assert_close(values, expected_values, TOLERANCE[cached])
    for token in range(3):
        seen = slice(0, int(position[token]) + 1)
        own_keys = expected_keys[row[token], :, seen].float().repeat_interleave(HEADS // GROUPS, 0)
        own_values = expected_values[row[token], :, seen].float()
        own_values = own_values.repeat_interleave(HEADS // GROUPS, 0)
        weights = (own_keys @ queries[token][:, :, None] / math.sqrt(HEAD)).softmax(1)
        expected = (weights.transpose(1, 2) @ own_values).flatten()
        assert_close(found[token], expected, max(TOLERANCE[cached], allowed(precision)))


def rotated(x: Tensor, norm: RMSNorm, tokens: Tokens) -> Tensor:
    x = F.rms_norm(x, (HEAD,), norm.weight.float(), norm.eps)
    return x * tokens.cos[:, None] + x.roll(HEAD // 2, -1) * tokens.sin[:, None]


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16], indirect=True)
def test_a_snake_is_the_plain_one(precision: Precision) -> None:
    module = SimpleNamespace(alpha=torch.randn(72), beta=torch.randn(72), no_div_by_zero=1e-9)
    x = torch.randn(2, 5, 72) * torch.tensor([1.0, 100.0])[:, None, None]
    expected = Snake(module, Precision.FLOAT32)(x.to(precision.dtype).float())
    found = FusedSnake(module, precision)(x.to(precision.dtype))
    error = TOLERANCE[precision.dtype] * 3
    torch.testing.assert_close(found.float(), expected, rtol=error, atol=error)


def test_attention_over_a_window_is_the_plain_one() -> None:
    """Beside a stream that begins; cut anyhow, and past the window."""
    heads, size, past = 2, 24, 5
    plain = WindowAttention(heads, size, past)
    fused = FusedWindowAttention(heads, size, past)
    x = torch.randn(2, 12, 3 * heads * size)
    cos_sin = torch.randn(2, 1, 12, size), torch.randn(2, 1, 12, size)
    positions = torch.arange(12).expand(2, -1)
    expected, _ = plain(x, cos_sin, positions, [None, None])
    pasts: list[Tensor | None] = [None, None]
    for start, end in ((0, 1), (1, 4), (4, 12)):
        part = cos_sin[0][:, :, start:end].contiguous(), cos_sin[1][:, :, start:end].contiguous()
        own = x[:, start:end].contiguous()
        found, ends = fused(own, part, positions[:, start:end], pasts)
        assert_close(found, expected[:, start:end], TOLERANCE[torch.float32])
        pasts = [*ends]
    part = cos_sin[0][:, :, :3].contiguous(), cos_sin[1][:, :, :3].contiguous()
    positions = torch.tensor([[0, 1, 2], [12, 13, 14]])
    found, _ = fused(x[:, :3].contiguous(), part, positions, [None, pasts[1]])
    assert_close(found[0], expected[0, :3], TOLERANCE[torch.float32])


def test_what_is_not_a_number_is_not_lost(kernels: DecoderKernels, precision: Precision) -> None:
    x = some(precision, 2, 72)
    x[1, 5] = torch.nan
    result = kernels.add_rms_norm(x, None, a_norm(72, precision.dtype))
    if precision is Precision.INT8:
        result = row_scales(result)
    assert result[0].isfinite().all()
    assert result[1].isnan().any()


def test_the_codes_do_not_depend_on_the_company(
    tiny_checkpoint: Checkpoint, precision: Precision
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    engine = build_engine(model, choose_parts(model, precision, 5), slots=5, max_waiting=40)

    def request(number: int) -> SynthesisRequest:
        sampling = SamplingOverrides(seed=number, do_sample=number % 2 == 0)
        text = "Hello there. " * (1 + number % 3)
        return SynthesisRequest(Task.CUSTOM_VOICE, text, 12, speaker="ryan", sampling=sampling)

    try:
        together = [engine.submit(request(number % 4)) for number in range(12)]
        alone = [engine.submit(request(number)).result() for number in range(4)]
        for number, future in enumerate(together):
            found, expected = future.result(), alone[number % 4]
            assert np.array_equal(found.codes, expected.codes)
            np.testing.assert_allclose(found.samples, expected.samples, rtol=0, atol=1e-6)
    finally:
        engine.close()


def test_a_model_without_kernels_is_spoken_plainly(
    tiny_checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    model.model.talker.config.code_predictor_config.attention_bias = True
    assert choose_parts(model, Precision.FLOAT32, 4).decoder is Decoder
    assert "no kernels for attention with biases" in caplog.text


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("printf 'caf\\351: error: no' >&2; exit 1", "error: no"),
        ("exit 3", "c\\+\\+ failed \\(3\\): it does not say why"),
        ("exit 0", "cannot be stored, or not be loaded"),
    ],
)
def test_a_compiler_that_fails_is_told_of(
    script: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    forget_builds()
    with pytest.raises(CannotCompile, match=says):
        build("product")


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.INT8])
def test_without_a_compiler_the_plain_decoder_speaks_until_there_is_one(
    precision: Precision,
    tiny_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    forget_builds()
    answers: dict[str, str] = {}
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setenv("PATH", "")
        assert choose_parts(model, precision, 4, answers=answers).decoder is Decoder
    assert "without compiled kernels" in caplog.text
    assert "there is no C++ compiler: install g++" in caplog.text
    assert not [question for question in answers if "language model" in question]
    parts = choose_parts(model, precision, 4, answers=answers)
    assert parts.decoder is not Decoder
    assert parts.names[0] in ("kernel", "fbgemm", "onednn")
    assert parts.names[1] in ("float32", "bfloat16", "int8")
    assert set(answers.values()) == set(parts.names)


@pytest.mark.parametrize("processor", ["any"], indirect=True)
@pytest.mark.usefixtures("processor")
def test_the_log_says_what_the_processor_lacks(
    tiny_checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    caplog.set_level(logging.INFO)
    choose_parts(model, Precision.FLOAT32, 4)
    assert "could be faster" not in caplog.text
    choose_parts(model, Precision.INT8, 4)
    assert caplog.text.count("int8 products could be faster: this processor lacks AVX2 or") == 1


def test_a_library_is_compiled_once_for_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "_kept", compiler._Kept())
    compiler.keep_libraries_in(tmp_path / "kept")
    forget_builds()
    build("snake", ACTIVATION=torch.float32, READ=torch.float32)
    (kept,) = (tmp_path / "kept").iterdir()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")  # there is no compiler any more
        forget_builds()
        build("snake", ACTIVATION=torch.float32, READ=torch.float32)
        for other in ({"READ": torch.bfloat16}, {"READ": torch.float32, "PLAIN": 1}):
            with pytest.raises(CannotCompile):
                build("snake", ACTIVATION=torch.float32, **other)
        patch.setattr(compiler, "processor_lines", lambda *_: ["another"])
        forget_builds()
        with pytest.raises(CannotCompile):
            build("snake", ACTIVATION=torch.float32, READ=torch.float32)
    # In another folder: what a process has loaded from a file, it does not load again.
    broken = tmp_path / "broken" / kept.name
    broken.parent.mkdir()
    broken.write_bytes(b"cut off")
    compiler.keep_libraries_in(broken.parent)
    forget_builds()
    build("snake", ACTIVATION=torch.float32, READ=torch.float32)
    assert broken.stat().st_size > 1_000


def test_a_library_is_kept_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers in containers have one process number, and one of them no room on the disk."""
    library, kept = tmp_path / "library", tmp_path / "kept" / "a.so"
    library.write_bytes(b"whole")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    copy = shutil.copyfileobj

    def copy_beside_another(source: BinaryIO, target: BinaryIO) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfileobj", cut_off)
            compiler._keep(library, kept)
        copy(source, target)

    def cut_off(_source: BinaryIO, target: BinaryIO) -> None:
        target.write(b"wh")
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(shutil, "copyfileobj", copy_beside_another)
    compiler._keep(library, kept)
    assert [path.name for path in kept.parent.iterdir()] == ["a.so"]
    assert kept.read_bytes() == b"whole"
