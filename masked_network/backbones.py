"""Named architectures as plain modules, and which of their parameters are masked.

Holds no weights: a backbone lives on the meta device and runs through `torch.func.functional_call`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call


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


class _LeNet300100(nn.Module):
    """Two hidden layers of 300 and 100 units, without biases (SupSup 2006.14769, section 4)."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(math.prod(input_shape), 300, bias=False)
        self.hidden2 = nn.Linear(300, 100, bias=False)
        self.classifier = nn.Linear(100, outputs, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.flatten(start_dim=1)  # [B, d_in]
        hidden = torch.relu(self.hidden1(hidden))  # [B, 300]
        hidden = torch.relu(self.hidden2(hidden))  # [B, 100]
        logits: Tensor = self.classifier(hidden)  # [B, outputs]
        return logits


BACKBONES: Mapping[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "lenet-300-100": _LeNet300100,
}


def build_backbone(name: str, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The named architecture, without storage for its weights.

    `input_shape` is that of one row, channels first. Raises `ValueError` on an unknown name or a
    size below one.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; known: {', '.join(sorted(BACKBONES))}")
    if outputs < 1 or not input_shape or min(input_shape) < 1:
        raise ValueError(f"sizes must be at least 1, got input {input_shape}, {outputs} outputs")
    with torch.device("meta"):
        return BACKBONES[name](input_shape, outputs).eval()


def masked_layers(backbone: nn.Module) -> tuple[MaskedLayer, ...]:
    """Every weight of the backbone, the classifier included, in the order of its forward pass."""
    return tuple(
        MaskedLayer(name, tuple(parameter.shape)) for name, parameter in backbone.named_parameters()
    )


def forward(backbone: nn.Module, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Logits `[B, outputs]` of the backbone with these weights, for inputs `[B, *input_shape]`."""
    logits: Tensor = functional_call(backbone, dict(weights), (inputs,))
    return logits
