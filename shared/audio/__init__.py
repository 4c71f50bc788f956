"""Samples to sound files and back; the API and the workers both write some."""

from shared.audio.wav import Pcm, decode_wav, encode_wav

__all__ = ["Pcm", "decode_wav", "encode_wav"]
