"""K basis masks for every layer, in one form for every kind of bank: codes and tables.

A *code* tells which basis masks a weight belongs to and is shared by all tasks; a *table* tells
what each code is worth for one task and layer. A partition needs one plane of codes, the group of
each weight, and its table is the coefficients themselves. Any other bank has a plane for every
eight masks, and a table of the subset sums of eight coefficients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.counter_random import random_permutation, random_words
from masked_network.frozen_weights import fingerprint
from masked_network.learning_codes import LearningCodes, learning_codes
from masked_network.supermask import check_density

BankKind = Literal["partition", "random", "heterogeneous", "homogeneous"]

_PLANE_BITS = 8
_MAX_PARTITION = 1 << 15


@dataclass(frozen=True)
class MaskBank:
    """The basis masks of a store. `codes[l]` is `[planes, P_l]`, int32, one row a plane."""

    kind: BankKind
    size: int
    density: float
    codes: tuple[Tensor, ...]

    def tables(self, coefficients: Tensor) -> Tensor:
        """Tables `[..., planes, entries]` of coefficients `[..., K]`; differentiable."""
        if coefficients.shape[-1] != self.size:
            raise ValueError(f"expected {self.size} coefficients, got {coefficients.shape[-1]}")
        if self.kind == "partition":
            return coefficients.unsqueeze(-2)  # [..., 1, K]
        planes = -(-self.size // _PLANE_BITS)
        padded = torch.nn.functional.pad(coefficients, (0, planes * _PLANE_BITS - self.size))
        by_plane = padded.reshape(*padded.shape[:-1], planes, _PLANE_BITS)  # [..., planes, 8]
        return torch.matmul(by_plane, _subset_bits(coefficients))  # [..., planes, 256]

    @cached_property
    def for_learning(self) -> tuple[LearningCodes, ...]:
        """Each layer's codes as learning reads them, made when first asked for.

        A partition, and a bank outside main memory, are learned with as they are.
        """
        if self.kind == "partition" or not all(codes.is_cpu for codes in self.codes):
            return (LearningCodes(),) * len(self.codes)
        return tuple(learning_codes(codes, 1 << _PLANE_BITS) for codes in self.codes)

    def mask(self, layer: int, index: int) -> Tensor:
        """Basis mask `index` of one layer, flat, as bool `[P_l]`. Raises `ValueError` beyond K."""
        if not 0 <= index < self.size:
            raise ValueError(f"expected a basis mask from 0 to {self.size - 1}, got {index}")
        if self.kind == "partition":
            return self.codes[layer][0] == index
        plane, bit = divmod(index, _PLANE_BITS)
        return (self.codes[layer][plane] >> bit & 1).bool()

    @cached_property
    def used(self) -> Tensor:
        """Which coefficients any weight is multiplied by, bool `[L, K]`, on the CPU.

        A partition of more groups than a layer has weights leaves the last ones empty there.
        """
        if self.kind != "partition":
            return torch.ones(len(self.codes), self.size, dtype=torch.bool)
        counts = [torch.bincount(codes[0], minlength=self.size) for codes in self.codes]
        return torch.stack(counts).cpu() > 0

    def to(self, device: torch.device) -> "MaskBank":
        """The same bank with its codes on `device`."""
        codes = tuple(code.to(device) for code in self.codes)
        return MaskBank(self.kind, self.size, self.density, codes)

    def fingerprint(self) -> str:
        """`sha256:...` over the kind, K, the density and every code."""
        bank = f"{self.kind}/{self.size}/{self.density}"
        return fingerprint({f"{bank}/{layer}": codes for layer, codes in enumerate(self.codes)})


def _subset_bits(like: Tensor) -> Tensor:
    entries = torch.arange(1 << _PLANE_BITS, device=like.device)
    bits = torch.arange(_PLANE_BITS, device=like.device)
    return (entries >> bits.unsqueeze(1) & 1).to(like.dtype)  # [8, 256]


def partition_bank(layers: Sequence[MaskedLayer], size: int, seed: int) -> MaskBank:
    """`size` disjoint masks a layer that together keep every weight once, of equal size within one.

    Random weight sharing (HashedNets 1504.04788) over frozen signs, used as a bank of impressions:
    this project's own. Raises `ValueError` where `size` is not in `1..32768`.
    """
    if not 1 <= size <= _MAX_PARTITION:
        raise ValueError(f"a partition has 1 to {_MAX_PARTITION} groups, got {size}")
    codes = []
    for layer in layers:
        order = random_permutation(seed, f"partition/{layer.name}", layer.size)
        codes.append(torch.from_numpy((order % size).astype(np.int32)).unsqueeze(0))
    return MaskBank("partition", size, 1 / size, tuple(codes))


def random_bank(layers: Sequence[MaskedLayer], size: int, density: float, seed: int) -> MaskBank:
    """`size` independent random masks a layer, each weight kept with probability `density`.

    The random impressions of ImpressLearn (2210.01987, section 3). Raises `ValueError` as
    `bank_of_masks` does.
    """
    if size < 1:
        raise ValueError(f"a bank has at least 1 basis mask, got {size}")
    check_density(density)
    masks = []
    for layer in layers:
        layer_masks = torch.empty(size, layer.size, dtype=torch.bool)
        for k in range(size):
            words = random_words(seed, f"random/{layer.name}/{k}", -(-layer.size // 2))
            halves = words.astype("<u8").view("<u4")[: layer.size]
            layer_masks[k] = torch.from_numpy(halves < np.uint64(round(density * 2**32)))
        masks.append(layer_masks)
    return bank_of_masks("random", masks, density)


def bank_of_masks(kind: BankKind, masks: Sequence[Tensor], density: float) -> MaskBank:
    """A bank from explicit masks, `masks[l]` of shape `[K, P_l]`, bool; not for partitions."""
    if kind == "partition":
        raise ValueError("a partition is made from its seed, not from masks")
    check_density(density)
    sizes = [len(layer) for layer in masks]
    size = sizes[0]
    if size < 1 or set(sizes) != {size}:
        raise ValueError(f"every layer needs the same K of at least 1, got {sizes}")
    return MaskBank(kind, size, density, tuple(_pack_planes(layer) for layer in masks))


def _pack_planes(masks: Tensor) -> Tensor:
    packed = np.packbits(masks.numpy(), axis=0, bitorder="little")  # [planes, P_l]
    return torch.from_numpy(packed.astype(np.int32))
