"""All layers of a decoder in one call, which multiplies with our own products."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, addressof, c_float, c_long, c_void_p

import torch
from torch import Tensor

from worker.engine.kernels.compiler import pointers
from worker.engine.kernels.decoder_kernels import DecoderKernels, Tokens
from worker.engine.kernels.product_pointers import ProductPointers
from worker.engine.nn.block import RMSNorm
from worker.engine.nn.decoder import Layer
from worker.engine.nn.kv_cache import KVCache

_NORMS = ("input_norm", "query_norm", "key_norm", "post_attention_norm")
_PRODUCTS = ("qkv", "out", "gate_up", "down")


class _Norm(Structure):
    """`Norm` of decoder_layers.h."""

    _fields_ = (("weight", c_void_p), ("eps", c_float))


class _Layer(Structure):
    """`Layer` of decoder_layers.h."""

    _fields_ = (
        *((name, _Norm) for name in _NORMS),
        *((name, ProductPointers) for name in _PRODUCTS),
        ("keys", c_void_p),
        ("values", c_void_p),
        ("room", c_long),
    )


class DecoderPass:
    """The layers and the final norm of a decoder, whose products are compiled ones."""

    def __init__(self, kernels: DecoderKernels, layers: Sequence[Layer], norm: RMSNorm) -> None:
        self._run_layers = kernels.run_layers
        self._kept = layers, norm  # they own what is pointed to
        self._norm = _norm(norm)
        self._layers = (_Layer * len(layers))()
        for own, layer in zip(self._layers, layers, strict=True):
            for name in _NORMS:
                setattr(own, name, _norm(getattr(layer, name)))
            for name in _PRODUCTS:
                setattr(own, name, getattr(layer, name).pointers())

    def __call__(self, x: Tensor, tokens: Tokens, cache: KVCache) -> Tensor:
        """Run [tokens, hidden], which is overwritten; keys and values go to the cache."""
        for own, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            own.keys, own.values, own.room = keys.data_ptr(), values.data_ptr(), keys.shape[2]
        result = torch.empty_like(x)
        self._run_layers(
            *(len(x), cache.keys[0].shape[1], len(self._layers)),
            *(addressof(self._layers), addressof(self._norm)),
            *pointers(x, tokens.cos, tokens.sin, tokens.row, tokens.position, result),
        )
        return result


def _norm(norm: RMSNorm) -> _Norm:
    return _Norm(*pointers(norm.weight), norm.eps)
