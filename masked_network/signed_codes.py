"""A bank's codes over a frozen backbone, for whoever reads them in one pass: a code and a sign.

The backbone's weights are one constant a layer with random signs, so a code and a sign say all of a
weight that there is to say. Checked once, here: what reads the codes trusts them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.channel_groups import segment_ranges
from masked_network.mask_bank import PLANE_BITS, MaskBank

_MOST_CODES = 1 << 15
_MOST_JOINED = 12
"""Masks that overlap: a table has a number for each of the 4,096 ways, a task's for each row."""
SUMMED_MASKS = 5
"""Of masks that overlap, how many have all sums of their coefficients in two vector registers."""


@dataclass(frozen=True)
class SignedLayer:
    """One layer. Its codes count through the tables of its channel groups, one after another."""

    name: str
    shape: tuple[int, ...]
    segments: range
    """Which of the L tables are the layer's."""
    codes: Tensor
    """`[planes, P_l]`, int32, each below `entries`."""
    negative: Tensor
    """`[P_l]`, bool: whether the frozen weight is."""
    magnitude: float
    entries: int

    def table(self, tables: Tensor) -> Tensor:
        """The layer's own, `[..., >= entries]`, of all tables `[..., L, entries of one]`."""
        return tables[..., self.segments.start : self.segments.stop, :].flatten(-2)

    @property
    def signed(self) -> Tensor:
        """`2 * code + negative` `[P_l]`, int32: the place in a table that has both signs.

        Of the first plane.
        """
        return 2 * self.codes[0] + self.negative


def all_planes(bank: MaskBank, coefficients: Tensor) -> Tensor:
    """Tables `[..., L, planes, entries]` of coefficients `[..., L, K]`.

    Raises `ValueError` on another shape than `[..., L, K]`.
    """
    _check_coefficients(bank, coefficients)
    return bank.tables(coefficients)


def one_plane(bank: MaskBank, coefficients: Tensor) -> Tensor:
    """Tables `[..., L, entries]` of coefficients `[..., L, K]` for codes of `one_plane_layers`.

    To the bit what composing adds up. Raises `ValueError` as `all_planes` does.
    """
    _check_coefficients(bank, coefficients)
    if bank.disjoint:
        return coefficients  # they are the tables: nothing to do is done soonest
    tables = bank.tables(coefficients)  # [..., L, planes, 256]
    if bank.size <= PLANE_BITS:
        return tables[..., 0, : 1 << bank.size]
    # As composing adds what two planes say of a weight, but once for each code.
    high = tables[..., 1, : 1 << bank.size - PLANE_BITS]
    return (high.unsqueeze(-1) + tables[..., 0, :].unsqueeze(-2)).flatten(-2)


def summed_plane(bank: MaskBank, coefficients: Tensor) -> Tensor:
    """`one_plane`, but to the bit what the compiled library adds up in registers."""
    _check_coefficients(bank, coefficients)
    if bank.disjoint:
        return coefficients
    tables, *more = (_subset_sums(some) for some in torch.split(coefficients, SUMMED_MASKS, dim=-1))
    for part in more:
        tables = (part.unsqueeze(-1) + tables.unsqueeze(-2)).flatten(-2)
    return tables


def _subset_sums(coefficients: Tensor) -> Tensor:
    """`[..., 2^n]` of `[..., n]`: each of a subset's is added to the sum of those before it."""
    sums = torch.zeros_like(coefficients[..., :1])
    for one in torch.split(coefficients, 1, dim=-1):
        sums = torch.cat([sums, sums + one], dim=-1)
    return sums


def _check_coefficients(bank: MaskBank, coefficients: Tensor) -> None:
    expected = (len(bank.codes), bank.size)
    if coefficients.shape[-2:] != expected:
        got = tuple(coefficients.shape[-2:])
        raise ValueError(f"expected coefficients {expected}, got {got}")


def one_plane_layers(weights: Mapping[str, Tensor], bank: MaskBank) -> tuple[SignedLayer, ...]:
    """What the compiled library reads: `signed_layers` of one plane, in main memory.

    Of up to twelve masks that overlap planes are joined to one: each of its codes is a way in which
    they may. Raises `ValueError` where there are more, as `signed_layers` does, and
    outside main memory.
    """
    if not bank.disjoint and bank.size > _MOST_JOINED:
        raise ValueError(
            f"expected disjoint masks, or at most {_MOST_JOINED} that overlap, "
            f"got {bank.size} of a {bank.kind} bank"
        )
    for name, weight in weights.items():
        if not weight.is_cpu:
            raise ValueError(f"{name}: expected weights in main memory, got {weight.device}")
    return signed_layers(weights, _joined(bank))


def _joined(bank: MaskBank) -> MaskBank:
    if bank.disjoint:
        return bank
    joined = []
    for planes in bank.codes:
        parts = (plane << place * PLANE_BITS for place, plane in enumerate(planes))
        joined.append(torch.stack(list(parts)).sum(dim=0, keepdim=True))
    return MaskBank("atoms", 1 << bank.size, bank.density, tuple(joined))


def signed_layers(weights: Mapping[str, Tensor], bank: MaskBank) -> tuple[SignedLayer, ...]:
    """Every layer of the backbone, in order, where weights and bank are.

    Raises `ValueError` where a layer's weights are not one constant in fp32, a code is in no table,
    or a layer has more than 32,768 codes.
    """
    like = next(iter(weights.values()))
    entries = all_planes(bank, like.new_zeros(len(bank.codes), bank.size)).shape[-1]
    ranges = segment_ranges([codes.shape[1] for codes in bank.codes], weights)
    return tuple(
        _signed_layer(name, weight, bank, ranges[name], entries) for name, weight in weights.items()
    )


def _signed_layer(
    name: str, weight: Tensor, bank: MaskBank, segments: range, entries: int
) -> SignedLayer:
    if weight.dtype != torch.float32:
        raise ValueError(f"{name}: expected weights in fp32, got {weight.dtype}")
    magnitude = float(weight.flatten()[0].abs())
    if not bool((weight.abs() == magnitude).all()):
        raise ValueError(f"{name}: expected weights of one magnitude, got several")
    parts = []
    for place, segment in enumerate(segments):
        codes = bank.codes[segment]
        lowest, highest = int(codes.min()), int(codes.max())
        if lowest < 0 or highest >= entries:
            expected = f"codes 0 to {entries - 1}"
            raise ValueError(f"{name}: expected {expected}, got {lowest} to {highest}")
        parts.append(codes + place * len(codes) * entries)
    joined = torch.cat(parts, dim=1).to(torch.int32)
    reached = int(joined.max()) + 1
    if reached > _MOST_CODES:
        raise ValueError(f"{name}: expected at most {_MOST_CODES} codes, got {reached}")
    negative = (weight < 0).flatten()
    return SignedLayer(name, tuple(weight.shape), segments, joined, negative, magnitude, reached)
