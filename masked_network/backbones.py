"""Named architectures as plain modules, and which of their parameters are masked.

Holds no weights: a backbone lives on the meta device and runs through `torch.func.functional_call`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from masked_network.fully_connected import FullyConnected
from masked_network.residual import Residual


@dataclass(frozen=True)
class MaskedLayer:
    """One parameter of the backbone that supermasks select from."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many weights the layer has (its share of P)."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int:
        """Inputs of one output unit; for a convolution, channels times kernel area."""
        return math.prod(self.shape[1:])


BACKBONES: Mapping[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "lenet-300-100": partial(FullyConnected, hidden=(300, 100)),
    "fc-1024-1024": partial(FullyConnected, hidden=(1024, 1024)),
    # The small ResNet-18 of SplitCIFAR100 (SupSup 2006.14769, section 4).
    "resnet-18-small": partial(
        Residual, widths=(20, 40, 80, 160), blocks=(2, 2, 2, 2), large_images=False
    ),
    "resnet-18": partial(Residual, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2)),
    "resnet-50": partial(Residual, widths=(64, 128, 256, 512), blocks=(3, 4, 6, 3), expansion=4),
}


def build_backbone(name: str, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The named architecture, without storage for its weights.

    `input_shape` is that of one row, channels first. Raises `ValueError` on an unknown name, a size
    below one, or a shape that the architecture does not take.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; known: {', '.join(sorted(BACKBONES))}")
    if outputs < 1 or not input_shape or min(input_shape) < 1:
        raise ValueError(f"sizes must be at least 1, got input {input_shape}, {outputs} outputs")
    with torch.device("meta"):
        return BACKBONES[name](input_shape, outputs).eval()


def masked_layers(backbone: nn.Module) -> tuple[MaskedLayer, ...]:
    """Every weight of the backbone, shortcuts and the classifier included, in a fixed order."""
    return tuple(
        MaskedLayer(name, tuple(parameter.shape)) for name, parameter in backbone.named_parameters()
    )


def forward(backbone: nn.Module, composed: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Logits `[B, outputs]` for inputs `[B, *input_shape]`, each row independent of the others.

    `composed` holds every weight and, where the backbone normalises, the task's statistics. Raises
    `ValueError` in training mode, where normalisation would couple the rows of a batch.
    """
    if backbone.training:
        raise ValueError("expected a backbone in evaluation mode, got one in training mode")
    if type(backbone) is FullyConnected:
        return backbone.under(composed, inputs)
    # No backbone has tied weights, and looking for some takes longer than a small layer.
    logits: Tensor = functional_call(backbone, dict(composed), (inputs,), tie_weights=False)
    return logits
