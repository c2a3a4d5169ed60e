"""The frozen random weights of a backbone, made from a seed, and what names them: a fingerprint."""

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.counter_random import random_bits


def signed_constant_weights(layers: Iterable[MaskedLayer], seed: int) -> dict[str, Tensor]:
    """`W = ±sqrt(2 / fan_in)`: one constant a layer, random signs, fp32 (SupSup 2006.14769).

    Bit-identical on every machine for the same layers and seed.
    """
    return {layer.name: _signed_constant(layer, seed) for layer in layers}


def _signed_constant(layer: MaskedLayer, seed: int) -> Tensor:
    constant = np.float32(math.sqrt(2 / layer.fan_in))
    bits = random_bits(seed, f"weights/{layer.name}", layer.size)
    signed = np.where(bits == 1, constant, -constant)
    return torch.from_numpy(signed).reshape(layer.shape)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """`sha256:...` over every name, dtype, shape and little-endian value, in the given order."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name}\x00{values.dtype.name}\x00{list(values.shape)}\x00".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return f"sha256:{digest.hexdigest()}"
