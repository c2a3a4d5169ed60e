"""A task's own statistics: the mean and variance that a backbone's normalisation layers use.

They are gathered while learning and fixed when serving, a part of what each task adds (SupSup
2006.14769): with those of another task, a network answers otherwise.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from masked_network.devices import laid_out_for_convolutions

MEAN_SUFFIX = ".running_mean"
VARIANCE_SUFFIX = ".running_var"

_BATCH_ROWS = 256


@dataclass(frozen=True)
class StatisticsLayer:
    """One normalisation layer: a mean and a variance for each channel, by the names of both."""

    name: str
    channels: int

    @property
    def mean(self) -> str:
        """Under which name the means `[channels]` are kept."""
        return self.name + MEAN_SUFFIX

    @property
    def variance(self) -> str:
        """Under which name the variances `[channels]` are kept."""
        return self.name + VARIANCE_SUFFIX


def statistics_layers(backbone: nn.Module) -> tuple[StatisticsLayer, ...]:
    """The layers whose statistics belong to the task; none where nothing is normalised."""
    return tuple(
        StatisticsLayer(name.removesuffix(MEAN_SUFFIX), buffer.numel())
        for name, buffer in backbone.named_buffers()
        if name.endswith(MEAN_SUFFIX)
    )


def statistics_shapes(layers: Iterable[StatisticsLayer]) -> dict[str, tuple[int, ...]]:
    """The shape of each statistic by its name."""
    return {name: (layer.channels,) for layer in layers for name in (layer.mean, layer.variance)}


def joined_statistics(
    statistics: Mapping[str, Tensor], layers: Sequence[StatisticsLayer]
) -> Tensor:
    """Means and variances of all layers in their order, `[..., 2, channels of all layers]`."""
    means = torch.cat([statistics[layer.mean] for layer in layers], dim=-1)
    variances = torch.cat([statistics[layer.variance] for layer in layers], dim=-1)
    return torch.stack([means, variances], dim=-2)


def split_statistics(joined: Tensor, layers: Sequence[StatisticsLayer]) -> dict[str, Tensor]:
    """Each layer's own `[..., channels]` by name, of `joined_statistics`, `[..., 2, channels]`."""
    channels = [layer.channels for layer in layers]
    means, variances = (torch.split(part, channels, dim=-1) for part in joined.unbind(-2))
    found = {}
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        found[layer.mean], found[layer.variance] = mean, variance
    return found


def moved_together(statistics: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The same on `device`, `[..., channels]` each, gone there in one piece.

    As many copies as there are layers would take longer than the layers.
    """
    values = list(statistics.values())
    if all(one.device == device for one in values):
        return dict(statistics)
    moved = torch.split(torch.cat(values, dim=-1).to(device), [one.shape[-1] for one in values], -1)
    return dict(zip(statistics, moved, strict=True))


class BatchNormalised:
    """A backbone that normalises by the batch's own statistics: for learning, never for serving.

    A copy of the backbone that it is made from, which stays as it is.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone = copy.deepcopy(backbone).train()
        self.layers = statistics_layers(backbone)
        self._shapes = statistics_shapes(self.layers)

    def __call__(
        self, weights: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits `[B, outputs]`, and the batch's statistics, variances unbiased, no gradient."""
        # Fresh each time: the forward pass writes into them.
        batch = {name: inputs.new_zeros(shape) for name, shape in self._shapes.items()}
        images = laid_out_for_convolutions(inputs) if self.layers else inputs
        logits: Tensor = functional_call(self._backbone, {**weights, **batch}, (images,))
        return logits, batch


@torch.no_grad()
def estimated_statistics(
    backbone: nn.Module, weights: Mapping[str, Tensor], inputs: Tensor
) -> dict[str, Tensor]:
    """Statistics of a task's inputs `[N, *input_shape]` under its final weights.

    Pooled over equal batches that are each normalised by themselves (PreciseBN, 2105.07576, section
    3). Empty where nothing is normalised. Raises `ValueError` on fewer than two inputs.
    """
    normalised = BatchNormalised(backbone)
    if not normalised.layers:
        return {}
    if len(inputs) < 2:
        raise ValueError(f"normalisation needs at least 2 inputs, got {len(inputs)}")
    # Equal batches, so that the last is never a single row, which has no variance.
    batches = inputs.tensor_split(-(-len(inputs) // _BATCH_ROWS))
    found = [normalised(weights, batch)[1] for batch in batches]
    stacked = {name: torch.stack([one[name] for one in found]) for name in found[0]}
    shares = inputs.new_tensor([len(batch) / len(inputs) for batch in batches])
    return pooled_statistics(stacked, shares)


def pooled_statistics(statistics: Mapping[str, Tensor], shares: Tensor) -> dict[str, Tensor]:
    """Statistics of a mixture of N parts, whose own are `[N, channels]` under each name.

    The mean of the means; the mean of the variances plus the variance of the means. `shares` `[N]`
    sum to 1.
    """
    pooled = {}
    for name, means in statistics.items():
        if name.endswith(MEAN_SUFFIX):
            variance = name.removesuffix(MEAN_SUFFIX) + VARIANCE_SUFFIX
            mean = shares @ means  # [channels]
            pooled[name] = mean
            pooled[variance] = shares @ (statistics[variance] + (means - mean).square())
    return pooled
