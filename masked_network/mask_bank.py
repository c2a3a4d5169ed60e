"""K basis masks for every layer, in one form for every kind of bank: codes and tables.

A *code* tells which basis masks a weight belongs to and is shared by all tasks; a *table* tells
what each code is worth for one task and layer. Disjoint masks need one plane of codes, the group of
each weight, and their table is the coefficients themselves. Any other bank has a plane for every
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

BankKind = Literal[
    "partition", "random", "heterogeneous", "homogeneous", "mixed", "atoms", "ranked"
]
Spread = Literal["even", "root"]
"""How many groups a layer has: K in each, or in proportion to the root of its weights."""

PLANE_BITS = 8
"""Of overlapping masks, how many one plane of codes tells of."""
_MAX_PARTITION = 1 << 15
_MAX_ATOM_BITS = 15


@dataclass(frozen=True)
class MaskBank:
    """The basis masks of a store. `codes[l]` is `[planes, P_l]`, int32, one row a plane."""

    kind: BankKind
    size: int
    density: float
    """Share of the weights that a mask keeps: of atoms, that each of the overlapping masks does;
    of a mixed bank, that each random one does."""
    codes: tuple[Tensor, ...]
    origin: Tensor | None = None
    """Coefficients `[L, K]`, fp32, that a task's own are added to; none are added where None."""

    @property
    def disjoint(self) -> bool:
        """Whether each weight belongs to one basis mask alone."""
        return self.kind in ("partition", "atoms", "ranked")

    @property
    def impressions(self) -> int:
        """How many masks the bank was made of: K, but for atoms, which are `2^n` of n masks."""
        return self.size.bit_length() - 1 if self.kind == "atoms" else self.size

    def tables(self, coefficients: Tensor) -> Tensor:
        """Tables `[..., planes, entries]` of coefficients `[..., K]`; differentiable."""
        if coefficients.shape[-1] != self.size:
            raise ValueError(f"expected {self.size} coefficients, got {coefficients.shape[-1]}")
        if self.disjoint:
            return coefficients.unsqueeze(-2)  # [..., 1, K]
        planes = -(-self.size // PLANE_BITS)
        padded = torch.nn.functional.pad(coefficients, (0, planes * PLANE_BITS - self.size))
        by_plane = padded.reshape(*padded.shape[:-1], planes, PLANE_BITS)  # [..., planes, 8]
        return torch.matmul(by_plane, _subset_bits(PLANE_BITS, coefficients))  # [..., planes, 256]

    @cached_property
    def for_learning(self) -> tuple[LearningCodes, ...]:
        """Each layer's codes as learning reads them, made when first asked for.

        A bank of disjoint masks, and one outside main memory, are learned with as they are.
        """
        if self.disjoint or not all(codes.is_cpu for codes in self.codes):
            return (LearningCodes(),) * len(self.codes)
        return tuple(learning_codes(codes, 1 << PLANE_BITS) for codes in self.codes)

    def mask(self, layer: int, index: int) -> Tensor:
        """Basis mask `index` of one layer, flat, as bool `[P_l]`. Raises `ValueError` beyond K."""
        if not 0 <= index < self.size:
            raise ValueError(f"expected a basis mask from 0 to {self.size - 1}, got {index}")
        if self.disjoint:
            return self.codes[layer][0] == index
        plane, bit = divmod(index, PLANE_BITS)
        return (self.codes[layer][plane] >> bit & 1).bool()

    @cached_property
    def used(self) -> Tensor:
        """Which coefficients any weight is multiplied by, bool `[L, K]`, on the CPU.

        Disjoint masks of more than a layer has weights, or atoms that nothing lies in, are not.
        """
        if not self.disjoint:
            return torch.ones(len(self.codes), self.size, dtype=torch.bool)
        return self.kept().cpu() > 0

    def impression(self, layer: int, index: int) -> Tensor:
        """Mask `index` of those that the bank was made of, as `mask` gives one.

        Of atoms it is the union of those that lie in it; of any other bank a basis mask.
        """
        if self.kind != "atoms":
            return self.mask(layer, index)
        if not 0 <= index < self.impressions:
            raise ValueError(f"expected a mask from 0 to {self.impressions - 1}, got {index}")
        return (self.codes[layer][0] >> index & 1).bool()

    def from_impressions(self, coefficients: Tensor) -> Tensor:
        """Coefficients `[..., K]` that compose as `[..., n]` over the masks it was made of do."""
        if self.kind != "atoms":
            return coefficients
        return torch.matmul(coefficients, _subset_bits(self.impressions, coefficients))

    def kept(self) -> Tensor:
        """How many weights of each layer each basis mask keeps: `[L, K]`, int64."""
        return torch.stack([self._kept(codes) for codes in self.codes])

    def _kept(self, codes: Tensor) -> Tensor:
        if self.disjoint:
            return torch.bincount(codes[0], minlength=self.size)
        counts = torch.stack([torch.bincount(plane, minlength=256) for plane in codes])
        by_bit = counts.unsqueeze(1) * _subset_bits(PLANE_BITS, counts)  # [planes, 8, 256]
        return by_bit.sum(dim=2).flatten()[: self.size]

    def to(self, device: torch.device) -> "MaskBank":
        """The same bank with its codes on `device`."""
        codes = tuple(code.to(device) for code in self.codes)
        origin = None if self.origin is None else self.origin.to(device)
        return MaskBank(self.kind, self.size, self.density, codes, origin)

    def fingerprint(self) -> str:
        """`sha256:...` over the kind, K, the density, every code, and any origin."""
        bank = f"{self.kind}/{self.size}/{self.density}"
        tensors = {f"{bank}/{layer}": codes for layer, codes in enumerate(self.codes)}
        if self.origin is not None:
            tensors[f"{bank}/origin"] = self.origin
        return fingerprint(tensors)


def _subset_bits(count: int, like: Tensor) -> Tensor:
    entries = torch.arange(1 << count, device=like.device)
    bits = torch.arange(count, device=like.device)
    return (entries >> bits.unsqueeze(1) & 1).to(like.dtype)  # [count, 2^count]


def partition_bank(
    layers: Sequence[MaskedLayer], size: int, seed: int, spread: Spread = "even"
) -> MaskBank:
    """`size` disjoint masks a layer that together keep every weight once, of equal size within one.

    A layer has as many of them as `group_counts` says; the others are empty there. Random weight
    sharing (HashedNets 1504.04788) over frozen signs, used as a bank of impressions: this project's
    own. Raises `ValueError` where `size` is not in `1..32768`.
    """
    codes = []
    for layer, groups in zip(layers, group_counts(layers, size, spread), strict=True):
        order = random_permutation(seed, f"partition/{layer.name}", layer.size)
        codes.append(torch.from_numpy((order % groups).astype(np.int32)).unsqueeze(0))
    return MaskBank("partition", size, 1 / size, tuple(codes))


def group_counts(layers: Sequence[MaskedLayer], size: int, spread: Spread) -> list[int]:
    """How many groups each layer has: at most `size`, and no more than it has weights.

    By root, the largest layer has `size` and each other one as many as the root of its share of
    that one's weights; ours. With thousands of groups it is worth more at the same bytes, with
    hundreds less. Raises `ValueError` where `size` is not in `1..32768`.
    """
    if not 1 <= size <= _MAX_PARTITION:
        raise ValueError(f"a partition has 1 to {_MAX_PARTITION} groups, got {size}")
    if spread == "even":
        return [min(size, layer.size) for layer in layers]
    largest = max(layer.size for layer in layers)
    by_root = [round(size * (layer.size / largest) ** 0.5) for layer in layers]
    return [min(max(1, groups), layer.size) for groups, layer in zip(by_root, layers, strict=True)]


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
    """A bank from explicit masks, `masks[l]` of shape `[K, P_l]`, bool.

    Of n masks, atoms are the `K = 2^n` ways in which they overlap: a weight belongs to the one
    whose number has the bits of the masks that keep it. A table over them contains every linear
    combination of the n; this project's own. Raises `ValueError` on more than 15 masks then.
    """
    if kind in ("partition", "ranked"):
        raise ValueError(f"a {kind} bank is not made from masks")
    check_density(density)
    sizes = [len(layer) for layer in masks]
    size = sizes[0]
    if size < 1 or set(sizes) != {size}:
        raise ValueError(f"every layer needs the same K of at least 1, got {sizes}")
    if kind == "atoms":
        if size > _MAX_ATOM_BITS:
            raise ValueError(f"atoms are of 1 to {_MAX_ATOM_BITS} masks, got {size}")
        return MaskBank(kind, 1 << size, density, tuple(_atoms(layer) for layer in masks))
    return MaskBank(kind, size, density, tuple(_pack_planes(layer) for layer in masks))


def _atoms(masks: Tensor) -> Tensor:
    atoms = torch.zeros(masks.shape[1], dtype=torch.int32)
    for bit, mask in enumerate(masks):
        atoms += mask.to(torch.int32) << bit
    return atoms.unsqueeze(0)


def _pack_planes(masks: Tensor) -> Tensor:
    packed = np.packbits(masks.numpy(), axis=0, bitorder="little")  # [planes, P_l]
    return torch.from_numpy(packed.astype(np.int32))
