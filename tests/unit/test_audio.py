import io
import wave
from pathlib import Path

import numpy as np

from shared.storage import Storage
from worker import audio


def read(content: bytes) -> tuple[tuple[int, int, int], np.ndarray]:
    with wave.open(io.BytesIO(content)) as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        return form, np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def test_a_wav_is_24_khz_mono_16_bit_and_clips_instead_of_wrapping() -> None:
    form, samples = read(audio.encode_wav(np.array([0, 0.5, -0.5, 1.5, -1.5], dtype=np.float32)))
    assert form == (24_000, 1, 2)
    assert samples.tolist() == [0, 16_384, -16_384, 32_767, -32_768]


def test_joining_keeps_every_sample_in_order(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path.as_uri())
    rng = np.random.default_rng(0)
    parts = [rng.uniform(-1, 1, n).astype(np.float32) for n in (1, 1_920, 50_000)]
    for i, part in enumerate(parts):
        storage.put(f"{i}", audio.encode_wav(part))
    joined = audio.join(storage, ["0", "1", "2"], "whole")
    content = storage.get("whole")
    _form, samples = read(content)
    assert (joined.samples, joined.size_bytes) == (51_921, len(content))
    expected = np.concatenate([read(storage.get(f"{i}"))[1] for i in range(3)])
    np.testing.assert_array_equal(samples, expected)
