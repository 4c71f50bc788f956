"""Audio files: int16 samples encoded and decoded, for the API and the workers."""

from shared.audio.wav import Pcm, decode_wav, encode_wav

__all__ = ["Pcm", "decode_wav", "encode_wav"]
