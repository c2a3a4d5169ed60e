"""A task's statistics as one tensor of its artifact, in the order of the backbone's own layers.

One, since each tensor's entry in the file's header takes more bytes than most layers' statistics.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from masked_network.task_statistics import (
    StatisticsLayer,
    joined_statistics,
    split_statistics,
)

STATISTICS = "statistics"

_LEAST_HALF = 2.0**-24


def packed_statistics(
    statistics: Mapping[str, Tensor], layers: Sequence[StatisticsLayer]
) -> dict[str, Tensor]:
    """The tensor fp16 `[2, channels of all layers]`, means and variances; none without layers.

    A variance is never rounded down to zero: a channel that is always the same is centred to zero
    whatever its variance, so the least number above zero serves it.
    """
    if not layers:
        return {}
    joined = joined_statistics(statistics, layers).to("cpu", torch.float16)
    joined[1].clamp_min_(_LEAST_HALF)
    return {STATISTICS: joined}


def statistics_of(
    tensors: Mapping[str, Tensor], layers: Sequence[StatisticsLayer]
) -> dict[str, Tensor]:
    """Each layer's means and variances in fp32, by name; of tensors whose shapes are right."""
    if not layers:
        return {}
    return split_statistics(tensors[STATISTICS].to(torch.float32), layers)


def expected_statistics(
    layers: Sequence[StatisticsLayer],
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The name, shape and type of the tensor; none without layers."""
    if not layers:
        return {}
    return {STATISTICS: ((2, sum(layer.channels for layer in layers)), torch.float16)}
