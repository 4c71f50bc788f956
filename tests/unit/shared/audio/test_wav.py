import io
import wave

import numpy as np

from shared.audio.wav import encode_wav


def read(content: bytes) -> tuple[tuple[int, int, int], np.ndarray]:
    with wave.open(io.BytesIO(content)) as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        return form, np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def test_a_wav_is_24_khz_mono_16_bit_and_clips_instead_of_wrapping() -> None:
    form, samples = read(encode_wav(np.array([0, 0.5, -0.5, 1.5, -1.5], dtype=np.float32)))
    assert form == (24_000, 1, 2)
    assert samples.tolist() == [0, 16_384, -16_384, 32_767, -32_768]
