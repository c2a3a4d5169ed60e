"""Networks with random signs and codes, drawn where they are used, and batches of their tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from masked_network.backbones import BACKBONES, build_backbone, forward, masked_layers
from masked_network.fully_connected import FullyConnected
from masked_network.mask_bank import MaskBank
from masked_network.mixed_batch import MixedBatch
from masked_network.task_statistics import statistics_layers

LARGE = "fc-8192-4096"
"""Of 67 million weights, on 4,096 inputs; not one of the project's backbones."""

_INPUT_SHAPES = {
    "lenet-300-100": (1, 28, 28),
    "fc-1024-1024": (1, 28, 28),
    "resnet-18-small": (3, 32, 32),
    LARGE: (1, 64, 64),
}
_OF_LARGE_IMAGES = (3, 64, 64)
_OUTPUTS = 10


@dataclass(frozen=True)
class DeviceNetwork:
    """A backbone with weights of one magnitude a layer and a bank, both on one device."""

    name: str
    backbone: nn.Module
    input_shape: tuple[int, ...]
    weights: Mapping[str, Tensor]
    bank: MaskBank

    @property
    def size(self) -> int:
        """How many weights there are."""
        return sum(weight.numel() for weight in self.weights.values())

    def batch(self, tasks: int, rows: int) -> tuple[MixedBatch, Tensor]:
        """Random tasks, and random rows that are theirs in turn."""
        device = next(iter(self.weights.values())).device
        own = {}
        for layer in statistics_layers(self.backbone):
            own[layer.mean] = torch.randn(tasks, layer.channels, device=device) / 4
            own[layer.variance] = torch.rand(tasks, layer.channels, device=device) + 0.5
        scale = 1.0 if self.bank.disjoint else sqrt(self.bank.size)
        drawn = torch.randn(tasks, len(self.bank.codes), self.bank.size, device=device) / scale
        task_of_row = torch.arange(rows, device=device) % tasks
        return MixedBatch(drawn, task_of_row, own), torch.randn(
            rows, *self.input_shape, device=device
        )

    def exact_weights(self, coefficients: Tensor) -> dict[str, Tensor]:
        """`W * sum over planes of table[code]` in fp64, of fp32 coefficients `[L, K]`."""
        tables = self.bank.tables(coefficients.double())
        exact = {}
        for table, codes, (name, weight) in zip(
            tables, self.bank.codes, self.weights.items(), strict=True
        ):
            factors = sum(plane[code] for plane, code in zip(table, codes.long(), strict=True))
            exact[name] = weight.double() * torch.as_tensor(factors).view_as(weight)
        return exact

    def exact_logits(self, batch: MixedBatch, inputs: Tensor) -> Tensor:
        """Each row under its own task's weights, in fp64 `[B, outputs]`."""
        rows = []
        for row, task in enumerate(batch.task_of_row.tolist()):
            own = {name: values[task].double() for name, values in batch.statistics.items()}
            composed = self.exact_weights(batch.coefficients[task]) | own
            rows.append(forward(self.backbone, composed, inputs[row : row + 1].double()))
        return torch.cat(rows)


def device_network(
    name: str, masks: int, device: torch.device, overlapping: bool = False
) -> DeviceNetwork:
    """Over a partition of so many groups, or so many random masks that overlap."""
    input_shape = _INPUT_SHAPES.get(name, _OF_LARGE_IMAGES)
    if name in BACKBONES:
        backbone = build_backbone(name, input_shape, _OUTPUTS)
    else:
        with torch.device("meta"):
            backbone = FullyConnected(input_shape, _OUTPUTS, (8192, 4096)).eval()
    weights, codes = {}, []
    planes, entries = (-(-masks // 8), 256) if overlapping else (1, masks)
    for layer in masked_layers(backbone):
        signs = torch.rand(layer.shape, device=device) - 0.5
        magnitude = torch.tensor(sqrt(2 / layer.fan_in), device=device)
        weights[layer.name] = torch.copysign(magnitude, signs)
        shape = (planes, layer.size)
        codes.append(torch.randint(entries, shape, dtype=torch.int32, device=device))
    bank = MaskBank(
        "random" if overlapping else "partition",
        masks,
        0.5 if overlapping else 1 / masks,
        tuple(codes),
    )
    return DeviceNetwork(name, backbone, input_shape, weights, bank)
