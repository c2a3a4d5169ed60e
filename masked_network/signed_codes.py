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

    Raises `ValueError` as `all_planes` does.
    """
    _check_coefficients(bank, coefficients)
    if bank.disjoint:
        return coefficients  # they are the tables: nothing to do is done soonest
    tables = bank.tables(coefficients)  # [..., L, planes, 256]
    if bank.size <= PLANE_BITS:
        return tables.squeeze(-2)
    # As composing adds what two planes say of a weight, but once for each code.
    high = tables[..., 1, : 1 << bank.size - PLANE_BITS]
    return (high.unsqueeze(-1) + tables[..., 0, :].unsqueeze(-2)).flatten(-2)


def _check_coefficients(bank: MaskBank, coefficients: Tensor) -> None:
    expected = (len(bank.codes), bank.size)
    if coefficients.shape[-2:] != expected:
        got = tuple(coefficients.shape[-2:])
        raise ValueError(f"expected coefficients {expected}, got {got}")


def one_plane_layers(weights: Mapping[str, Tensor], bank: MaskBank) -> tuple[SignedLayer, ...]:
    """What the compiled library reads: `signed_layers` of one plane, in main memory.

    Of nine to twelve masks that overlap two planes are joined to one: each of its codes is a way
    in which they may. Raises `ValueError` where there are more, as `signed_layers` does, and
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
    if bank.disjoint or bank.size <= PLANE_BITS:
        return bank
    codes = tuple((low + (high << PLANE_BITS)).unsqueeze(0) for low, high in bank.codes)
    return MaskBank("atoms", 1 << bank.size, bank.density, codes)


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
