"""The codec gives the samples of qwen-tts's, however a speech is cut up and batched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engine.codec.codec import CHUNK_FRAMES, Codec
from worker.engine.codec.products import FloatProducts
from worker.engine.codec.stream import Stream, StreamBatch
from worker.engine.kernels.codec import FusedFloatProducts, Int8Products, RowProducts
from worker.engine.precision import Precision
from worker.engine.request import Reference
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
FRAME = 1_920
EXACT = FloatProducts(Precision.FLOAT32)
CODES = np.random.default_rng(0).integers(0, 256, (3, 90, 16))


@pytest.fixture(scope="module")
def decoder(tiny_checkpoint: Checkpoint) -> Any:
    model = load_model(str(tiny_checkpoint("base")), threads=1)
    return model.model.speech_tokenizer.model.decoder


@pytest.fixture(scope="module", params=["plain", "compiled"])
def codec(decoder: Any, request: pytest.FixtureRequest) -> Codec:
    if request.param == "compiled" and shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    products = EXACT if request.param == "plain" else FusedFloatProducts(Precision.FLOAT32)
    return Codec(decoder, products, products)


@pytest.fixture(scope="module")
def whole(decoder: Any) -> np.ndarray:
    """The samples of qwen-tts for each row in one pass [rows, n]; longer than its window of 72."""
    with torch.inference_mode():
        decoded: torch.Tensor = decoder(torch.from_numpy(CODES).transpose(1, 2))
    return decoded[:, 0].numpy()


@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_cut_anywhere_the_samples_are_those_of_one_pass(
    codec: Codec, whole: np.ndarray, sizes: list[int]
) -> None:
    stream, made, at = Stream(), [], 0
    while at < 90:
        size = sizes[len(made) % len(sizes)]
        made.append(codec.decode([stream], CODES[:1, at : at + size])[0])
        at += size
    np.testing.assert_allclose(np.concatenate(made), whole[0], atol=2e-5)


def test_side_by_side_each_stream_goes_on_from_where_it_is(codec: Codec, whole: np.ndarray) -> None:
    streams = [Stream() for _ in range(3)]
    codec.decode(streams[:1], CODES[:1, :CHUNK_FRAMES])
    codec.decode(streams[:1], CODES[:1, CHUNK_FRAMES : 2 * CHUNK_FRAMES])
    codec.decode(streams[1:2], CODES[1:2, :CHUNK_FRAMES])
    starts = [2 * CHUNK_FRAMES, CHUNK_FRAMES, 0]
    codes = np.stack([CODES[row, start : start + CHUNK_FRAMES] for row, start in enumerate(starts)])
    made = codec.decode(streams, codes)
    for row, start in enumerate(starts):
        expected = whole[row, start * FRAME : (start + CHUNK_FRAMES) * FRAME]
        np.testing.assert_allclose(made[row], expected, atol=2e-5)


def test_a_speech_goes_on_from_its_reference_which_is_heard_once(
    codec: Codec, whole: np.ndarray
) -> None:
    reference = Reference("heard", np.zeros(9, dtype=np.float32), 24_000, "said")
    before, spoken = CODES[0, :50], CODES[0, 50:54]
    heard = codec.open_reference(reference, before)
    for _ in range(13):
        assert not heard.is_done
        codec.decode_reference(heard)
    for _ in range(2):
        again = codec.open_reference(reference, before)
        assert again.is_done
        made = codec.decode([codec.open_stream(again)], spoken[None])[0]
        np.testing.assert_allclose(made, whole[0, 50 * FRAME : 54 * FRAME], atol=2e-5)


def test_a_reference_that_cannot_be_heard_is_tried_anew(codec: Codec) -> None:
    reference = Reference("odd", np.zeros(9, dtype=np.float32), 24_000, "said")
    heard = codec.open_reference(reference, np.full((3, 16), 10**6))
    with pytest.raises(IndexError):
        codec.decode_reference(heard)
    assert codec.open_reference(reference, CODES[0, :3]) is not heard


def test_a_chunk_that_fails_changes_no_stream(
    codec: Codec, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_batch: StreamBatch, _frames: int) -> None:
        raise MemoryError

    stream = Stream()
    codec.decode([stream], CODES[:1, :CHUNK_FRAMES])
    with monkeypatch.context() as patch:
        patch.setattr(StreamBatch, "advance", explode)  # after the last layer
        with pytest.raises(MemoryError):
            codec.decode([stream], CODES[:1, CHUNK_FRAMES : 2 * CHUNK_FRAMES])
    made = codec.decode([stream], CODES[:1, CHUNK_FRAMES : 2 * CHUNK_FRAMES])[0]
    np.testing.assert_allclose(
        made, whole[0, CHUNK_FRAMES * FRAME : 2 * CHUNK_FRAMES * FRAME], atol=2e-5
    )


def test_bfloat16_sounds_much_the_same(decoder: Any, whole: np.ndarray) -> None:
    products = FloatProducts(Precision.BFLOAT16)
    codec = Codec(decoder, products, products)
    made = codec.decode([Stream()], CODES[:1])[0]
    error = np.linalg.norm(made - whole[0]) / np.linalg.norm(whole[0])
    assert 0 < error < 0.1
    assert np.abs(made).max() <= 1


@pytest.fixture(scope="module")
def int8_codec(decoder: Any) -> Codec:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    return Codec(decoder, RowProducts(), Int8Products())


def test_int8_sounds_much_the_same(int8_codec: Codec, whole: np.ndarray) -> None:
    made = int8_codec.decode([Stream()], CODES[:1])[0]
    error = np.linalg.norm(made - whole[0]) / np.linalg.norm(whole[0])
    assert 0 < error < 0.1
    assert np.abs(made).max() <= 1


def test_in_int8_a_stream_is_the_same_in_any_company(int8_codec: Codec) -> None:
    """Cut into chunks of 1, 3 and 4 frames, alone, and beside streams that are further on."""
    alone, together = Stream(), [Stream() for _ in range(3)]
    int8_codec.decode(together[1:], CODES[1:, :2])
    for start, end in ((0, 1), (1, 4), (4, 8)):
        made = int8_codec.decode([alone], CODES[:1, start:end])[0]
        beside = int8_codec.decode(together, CODES[:, start:end])[0]
        np.testing.assert_array_equal(made, beside)
