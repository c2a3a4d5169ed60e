"""A bank of one plane of codes over a frozen backbone, one number a weight: its code and its sign.

The backbone's weights are one constant a layer with random signs, so a code and a sign say all of a
weight that there is to say. Checked once, here: what reads the codes trusts them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.channel_groups import segment_ranges
from masked_network.mask_bank import MaskBank

_MOST_CODES = 1 << 15


@dataclass(frozen=True)
class SignedLayer:
    """One layer. Its codes count through the tables of its channel groups, one after another."""

    name: str
    shape: tuple[int, ...]
    segments: range
    """Which of the L tables are the layer's."""
    codes: Tensor
    """`[P_l]`, int32, each below `entries`."""
    negative: Tensor
    """`[P_l]`, bool: whether the frozen weight is."""
    magnitude: float
    entries: int

    def table(self, tables: Tensor) -> Tensor:
        """The layer's own, `[..., >= entries]`, of all tables `[..., L, entries of one]`."""
        return tables[..., self.segments.start : self.segments.stop, :].flatten(-2)

    @property
    def signed(self) -> Tensor:
        """`2 * code + negative` `[P_l]`, int32: the place in a table that has both signs."""
        return 2 * self.codes + self.negative


def one_plane(bank: MaskBank, coefficients: Tensor) -> Tensor:
    """Tables `[..., L, entries]` of coefficients `[..., L, K]` over a bank of one plane of codes.

    Raises `ValueError` on another shape than `[..., L, K]`.
    """
    expected = (len(bank.codes), bank.size)
    if tuple(coefficients.shape[-2:]) != expected:
        got = tuple(coefficients.shape[-2:])
        raise ValueError(f"expected coefficients {expected}, got {got}")
    return bank.tables(coefficients).squeeze(-2)


def signed_layers(weights: Mapping[str, Tensor], bank: MaskBank) -> tuple[SignedLayer, ...]:
    """Every layer of the backbone, in order.

    A bank has one plane of codes where its masks are disjoint, or at most eight. Raises
    `ValueError` where it has more, a layer's weights are not one constant in fp32 and main memory,
    a code is in no table, or a layer has more than 32,768 codes.
    """
    planes = max(len(codes) for codes in bank.codes)
    if planes > 1:
        raise ValueError(
            "expected disjoint masks, or at most 8 that overlap, "
            f"got {bank.size} of a {bank.kind} bank"
        )
    entries = one_plane(bank, torch.zeros(len(bank.codes), bank.size)).shape[-1]
    ranges = segment_ranges([codes.shape[1] for codes in bank.codes], weights)
    return tuple(
        _signed_layer(name, weight, bank, ranges[name], entries) for name, weight in weights.items()
    )


def _signed_layer(
    name: str, weight: Tensor, bank: MaskBank, segments: range, entries: int
) -> SignedLayer:
    if weight.dtype != torch.float32 or not weight.is_cpu:
        raise ValueError(
            f"{name}: expected fp32 in main memory, got {weight.dtype} {weight.device}"
        )
    magnitude = float(weight.flatten()[0].abs())
    if not bool((weight.abs() == magnitude).all()):
        raise ValueError(f"{name}: expected weights of one magnitude, got several")
    parts = []
    for place, segment in enumerate(segments):
        codes = bank.codes[segment][0]
        lowest, highest = int(codes.min()), int(codes.max())
        if lowest < 0 or highest >= entries:
            expected = f"codes 0 to {entries - 1}"
            raise ValueError(f"{name}: expected {expected}, got {lowest} to {highest}")
        parts.append(codes + place * entries)
    joined = torch.cat(parts).to(torch.int32)
    reached = int(joined.max()) + 1
    if reached > _MOST_CODES:
        raise ValueError(f"{name}: expected at most {_MOST_CODES} codes, got {reached}")
    negative = (weight < 0).flatten()
    return SignedLayer(name, tuple(weight.shape), segments, joined, negative, magnitude, reached)
