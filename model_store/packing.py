"""Bool masks to packed bits or to indices, levels of a few bits to packed bytes, and back.

Bits are eight weights a byte, little-endian; indices are ascending, four bytes a weight kept.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.quantisation import Bits


def _levels_of_bytes(bits: Bits) -> NDArray[np.uint8]:
    every = np.arange(256)[:, np.newaxis] >> np.arange(0, 8, bits)
    return (every & (1 << bits) - 1).astype(np.uint8)  # [256, 8 / bits]


# A look-up a byte takes a tenth of what shifting does, on a task alone.
_LEVELS_OF_BYTES: dict[Bits, NDArray[np.uint8]] = {2: _levels_of_bytes(2), 4: _levels_of_bytes(4)}


def pack_bits(mask: Tensor) -> Tensor:
    """Bool `[..., P]` to uint8 `[..., ceil(P / 8)]`; the last byte is padded with zeros."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy(), axis=-1, bitorder="little"))


def unpack_bits(packed: Tensor, size: int) -> Tensor:
    """Uint8 `[..., ceil(P / 8)]` to bool `[..., P]` with `size` = P.

    Raises `ValueError` where the length does not fit, or a padding bit is set.
    """
    if packed.dtype != torch.uint8 or packed.shape[-1:] != (-(-size // 8),):
        raise ValueError(
            f"expected uint8 [..., {-(-size // 8)}] for {size} bits, "
            f"got {packed.dtype} {list(packed.shape)}"[:500]
        )
    bits = np.unpackbits(packed.cpu().numpy(), axis=-1, bitorder="little")
    if bits[..., size:].any():
        raise ValueError(f"padding bits beyond {size} are set")
    return torch.from_numpy(bits[..., :size].astype(np.bool_))


def pack_levels(levels: Tensor, bits: Bits) -> Tensor:
    """Uint8 `[..., n]` of so many bits to uint8 `[..., ceil(n * bits / 8)]`, earlier in the low."""
    in_a_byte = 8 // bits
    padded = torch.nn.functional.pad(levels, (0, -levels.shape[-1] % in_a_byte))
    places = (bits * torch.arange(in_a_byte)).to(torch.uint8)
    shifted = padded.view(*levels.shape[:-1], -1, in_a_byte) << places
    return shifted.sum(dim=-1, dtype=torch.uint8)


def unpack_levels(packed: Tensor, bits: Bits, count: int) -> Tensor:
    """Uint8 `[..., ceil(n * bits / 8)]` to uint8 `[..., n]` of so many bits, with `count` = n.

    Raises `ValueError` where the bits beyond the last level are set.
    """
    of_bytes = _LEVELS_OF_BYTES[bits].take(packed.numpy(), axis=0)  # [..., bytes, 8 / bits]
    levels = of_bytes.reshape(*packed.shape[:-1], -1)
    if levels[..., count:].any():
        raise ValueError(f"padding bits beyond {count} levels are set")
    return torch.from_numpy(levels[..., :count])


def mask_indices(mask: Tensor) -> Tensor:
    """Bool `[P]` to the ascending places of its true entries, int32."""
    return torch.from_numpy(np.flatnonzero(mask.cpu().numpy()).astype(np.int32))


def index_mask(indices: Tensor, size: int) -> Tensor:
    """Ascending int32 places to bool `[P]` with `size` = P.

    Raises `ValueError` on another type, a place outside `0..P-1`, or one that is not above the one
    before it.
    """
    if indices.dtype != torch.int32 or indices.dim() != 1:
        raise ValueError(
            f"expected int32 [n] indices, got {indices.dtype} {list(indices.shape)}"[:500]
        )
    places = indices.cpu().numpy()
    if places.size and (places.min() < 0 or places.max() >= size):
        raise ValueError(
            f"expected indices from 0 to {size - 1}, got {places.min()} to {places.max()}"
        )
    if not bool((places[1:] > places[:-1]).all()):
        raise ValueError("expected indices in ascending order, none of them twice")
    mask = np.zeros(size, dtype=np.bool_)
    mask[places] = True
    return torch.from_numpy(mask)
