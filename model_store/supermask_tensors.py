"""A dedicated supermask as an artifact's tensors: each layer as bits or indices, the smaller one.

A mask has one such form and no other, so that one mask has one artifact.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer
from model_store.packing import index_mask, mask_indices, pack_bits, unpack_bits

BITS_PREFIX = "supermask/"
INDICES_PREFIX = "supermask-indices/"

_INDEX_BYTES = 4


def packed_supermask(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One tensor for each layer's mask: uint8 bits, or int32 indices where those take less."""
    tensors = {}
    for name, mask in masks.items():
        flat = mask.flatten()
        if _indices_are_smaller(flat):
            tensors[INDICES_PREFIX + name] = mask_indices(flat)
        else:
            tensors[BITS_PREFIX + name] = pack_bits(flat)
    return tensors


def is_mask(name: str) -> bool:
    """Whether a tensor of that name is a layer's mask."""
    return name.startswith((BITS_PREFIX, INDICES_PREFIX))


def supermask_of(tensors: Mapping[str, Tensor], layers: Sequence[MaskedLayer]) -> dict[str, Tensor]:
    """Each layer's mask, bool in the layer's shape; of tensors whose names and types are right.

    Raises `ValueError` where a layer is kept in the larger form, or its values make no mask.
    """
    return {layer.name: _layer_mask(tensors, layer).reshape(layer.shape) for layer in layers}


def expected_masks(
    tensors: Mapping[str, Tensor], layers: Sequence[MaskedLayer]
) -> dict[str, tuple[tuple[int | None, ...], torch.dtype]]:
    """For each layer the name, shape and type of its tensor; None is any length.

    Which of the two forms a layer has is read off the tensors, bits where they have neither.
    """
    expected: dict[str, tuple[tuple[int | None, ...], torch.dtype]] = {}
    for layer in layers:
        if INDICES_PREFIX + layer.name in tensors:
            expected[INDICES_PREFIX + layer.name] = ((None,), torch.int32)
        else:
            expected[BITS_PREFIX + layer.name] = ((-(-layer.size // 8),), torch.uint8)
    return expected


def _layer_mask(tensors: Mapping[str, Tensor], layer: MaskedLayer) -> Tensor:
    indices = tensors.get(INDICES_PREFIX + layer.name)
    if indices is None:
        mask = unpack_bits(tensors[BITS_PREFIX + layer.name], layer.size)
    else:
        mask = index_mask(indices, layer.size)
    if (indices is not None) != _indices_are_smaller(mask):
        smaller = "bits" if indices is not None else "indices"
        raise ValueError(
            f"{layer.name} keeps {int(mask.sum())} of {layer.size} weights, which take fewer bytes "
            f"as {smaller}"
        )
    return mask


def _indices_are_smaller(mask: Tensor) -> bool:
    return _INDEX_BYTES * int(mask.sum()) < -(-mask.numel() // 8)
