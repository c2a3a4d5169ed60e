"""A bank made from a network that was learned: weights that grew alike share a group.

This project's own. Learns nothing; says how learned multipliers become groups and an origin.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.mask_bank import MaskBank, Spread, group_counts, partition_bank


def ranked_bank(
    layers: Sequence[MaskedLayer],
    size: int,
    seed: int,
    spread: Spread,
    multipliers: Mapping[str, Tensor],
) -> MaskBank:
    """Disjoint masks by the rank of each weight's learned multiplier, and their means as origin.

    `multipliers` holds, for the layers that tasks have in common, what each frozen weight was
    multiplied by in the network that they learned together, in the layer's shape. A layer's weights
    in the order of it are cut into groups of equal size, so that the origin alone comes close to
    that network. A layer that is missing is as in a random partition, its origin zero. Raises
    `ValueError` as `group_counts` does.
    """
    counts = group_counts(layers, size, spread)
    random = partition_bank(layers, size, seed, spread)
    codes, origin = list(random.codes), torch.zeros(len(layers), size)
    for index, (layer, groups) in enumerate(zip(layers, counts, strict=True)):
        if layer.name not in multipliers:
            continue
        flat = multipliers[layer.name].flatten()
        ranks = torch.empty(layer.size, dtype=torch.int64)
        ranks[flat.argsort(stable=True)] = torch.arange(layer.size)
        group = ranks * groups // layer.size
        sums = torch.zeros(size, dtype=torch.float64).index_add_(0, group, flat.to(torch.float64))
        members = torch.bincount(group, minlength=size).clamp_min(1)
        origin[index] = (sums / members).to(torch.float32)
        codes[index] = group.to(torch.int32).unsqueeze(0)
    return MaskBank("ranked", size, 1 / size, tuple(codes), origin)


def bank_of_groups(codes: Sequence[Tensor], origin: Tensor) -> MaskBank:
    """A ranked bank again from its groups, int32 `[P_l]` a layer, and its origin `[L, K]`, fp32.

    Raises `ValueError` on a group outside `0..K-1`, or an origin that is not finite or of another
    shape.
    """
    if origin.dim() != 2 or len(origin) != len(codes) or not bool(torch.isfinite(origin).all()):
        raise ValueError(f"expected a finite origin [{len(codes)}, K], got {list(origin.shape)}")
    size = origin.shape[1]
    for layer, groups in enumerate(codes):
        if groups.min() < 0 or groups.max() >= size:
            raise ValueError(
                f"layer {layer}: expected groups 0 to {size - 1}, "
                f"got {int(groups.min())} to {int(groups.max())}"
            )
    planes = tuple(groups.to(torch.int32).unsqueeze(0) for groups in codes)
    return MaskBank("ranked", size, 1 / size, planes, origin)
