"""A backbone whose layers treat each row by itself: the same architecture, other layers in it.

What a layer needs to know of a batch it gets as buffers, through `functional_call`; nothing is set.
"""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from masked_network.mixed_batch import MixedBatch
from masked_network.task_statistics import statistics_layers

ReplaceLayer = Callable[[str, nn.Linear | nn.Conv2d], nn.Module]
"""What stands in for a masked layer, given the name of its weight and the layer itself."""


class RowLayers:
    """A copy of the backbone with other masked layers, and normalisation by each row's statistics.

    A layer's buffers are named by `buffers_of_rows`. For one thread at a time.
    """

    def __init__(self, backbone: nn.Module, replace: ReplaceLayer) -> None:
        self._backbone = copy.deepcopy(backbone).eval()
        self._statistics = statistics_layers(backbone)
        self.names: list[str] = []
        for name, layer in backbone.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                self._backbone.set_submodule(name, replace(f"{name}.weight", layer))
                self.names.append(name)
            elif isinstance(layer, nn.BatchNorm2d):
                self._backbone.set_submodule(name, _RowNormalisation(layer.eps))

    def __call__(self, buffers: Mapping[str, Tensor], batch: MixedBatch, inputs: Tensor) -> Tensor:
        """Logits `[B, outputs]` for inputs `[B, *input_shape]`.

        Raises `ValueError` where rows or statistics do not fit.
        """
        batch.check(inputs, self._statistics)
        return self.under(buffers, batch.statistics_of_rows(), inputs)

    def under(
        self, buffers: Mapping[str, Tensor], statistics: Mapping[str, Tensor], inputs: Tensor
    ) -> Tensor:
        """The same by each row's statistics `[B, channels]`, unchecked."""
        given = {**buffers, **statistics}
        logits: Tensor = functional_call(self._backbone, given, (inputs,), tie_weights=False)
        return logits


class _RowNormalisation(nn.Module):
    """BatchNorm in evaluation mode, without gamma and beta, by statistics `[B, channels]`."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self._epsilon = epsilon
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.empty(0, device="meta"))

    def forward(self, inputs: Tensor) -> Tensor:
        scale = (self.running_var + self._epsilon).rsqrt()
        shift = -self.running_mean * scale  # [B, channels]
        return torch.addcmul(shift[..., None, None], inputs, scale[..., None, None])
