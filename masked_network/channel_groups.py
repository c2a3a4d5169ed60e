"""Layers cut along their output channels, so that each part has coefficients of its own.

To a bank such a *segment* is a layer like any other; here layers are cut, and joined again.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer


def layer_segments(layer: MaskedLayer, groups: int) -> tuple[MaskedLayer, ...]:
    """The layer's output channels in `groups` contiguous segments, equal within one channel.

    Of a layer with fewer channels each is a segment; one group is the layer itself. Raises
    `ValueError` on no groups.
    """
    if groups < 1:
        raise ValueError(f"a layer has at least 1 channel group, got {groups}")
    if groups == 1:
        return (layer,)
    channels, *rest = layer.shape
    count = min(groups, channels)
    edges = [channels * edge // count for edge in range(count + 1)]
    return tuple(
        MaskedLayer(f"{layer.name}[{first}:{end}]", (end - first, *rest))
        for first, end in pairwise(edges)
    )


def channel_segments(layers: Iterable[MaskedLayer], groups: int) -> tuple[MaskedLayer, ...]:
    """The segments of all layers, in their order. Raises `ValueError` on no groups."""
    return tuple(segment for layer in layers for segment in layer_segments(layer, groups))


def segment_ranges(lengths: Sequence[int], weights: Mapping[str, Tensor]) -> dict[str, range]:
    """Which segments, of so many weights each, are those of each layer, by its name.

    Raises `ValueError` where the segments are not those of these layers.
    """
    ranges, taken = {}, 0
    for name, weight in weights.items():
        first, length = taken, 0
        while length < weight.numel() and taken < len(lengths):
            length += lengths[taken]
            taken += 1
        if length != weight.numel():
            raise ValueError(f"{name}: expected segments of {weight.numel()} weights, got {length}")
        ranges[name] = range(first, taken)
    if taken != len(lengths):
        raise ValueError(f"expected {taken} segments, got {len(lengths)}")
    return ranges


def joined_segments(flat: Sequence[Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is said of each segment, flat, as said of each layer: by its name, in its shape.

    Raises `ValueError` where the segments are not those of these layers.
    """
    joined = {}
    for name, segments in segment_ranges([len(values) for values in flat], weights).items():
        parts = [flat[segment] for segment in segments]
        # Most often a segment is a layer, and there is nothing to copy.
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        joined[name] = whole.view_as(weights[name])
    return joined
