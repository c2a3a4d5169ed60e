"""Rows of different tasks without composing: each layer one plain product over the stacked bank.

`y_b = sum_k alpha_b[k] * (W * M_k) x_b`: K times the product's arithmetic and K times the weights'
memory, whatever the number of tasks, so for a bank of few masks, of any kind.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from masked_network.channel_groups import segment_ranges
from masked_network.mask_bank import MaskBank
from masked_network.mixed_batch import MixedBatch
from masked_network.row_layers import RowLayers


class StackedBank:
    """The network of a bank stacked once, for batches of any tasks; for one thread at a time.

    Raises `ValueError` where bank and weights are not of the same layers.
    """

    def __init__(self, backbone: nn.Module, weights: Mapping[str, Tensor], bank: MaskBank) -> None:
        self._shape = (len(bank.codes), bank.size)
        lengths = [codes.shape[1] for codes in bank.codes]
        self._segments = segment_ranges(lengths, weights)

        def replace(name: str, layer: nn.Linear | nn.Conv2d) -> nn.Module:
            own = self._segments[name]
            outputs = [lengths[segment] // weights[name][0].numel() for segment in own]
            stacked = [
                torch.cat([part * bank.mask(segment, k).view_as(part) for k in range(bank.size)], 1)
                for segment, part in zip(own, torch.split(weights[name], outputs), strict=True)
            ]
            return _StackedProduct(layer, stacked)

        self._layers = RowLayers(backbone, replace)

    @torch.no_grad()
    def __call__(self, batch: MixedBatch, inputs: Tensor) -> Tensor:
        """Logits `[B, outputs]` for inputs `[B, *input_shape]`.

        Raises `ValueError` on coefficients, statistics or rows that do not fit.
        """
        if tuple(batch.coefficients.shape[1:]) != self._shape:
            got = tuple(batch.coefficients.shape[1:])
            raise ValueError(f"expected coefficients {self._shape}, got {got}")
        of_rows = batch.coefficients[batch.task_of_row]  # [B, L, K]
        buffers = {
            f"{name}.coefficients": of_rows[:, own.start : own.stop]
            for name in self._layers.names
            for own in (self._segments[f"{name}.weight"],)
        }
        return self._layers(buffers, batch, inputs)


class _StackedProduct(nn.Module):
    """Each row's inputs, times each of its coefficients, side by side, in one product a segment."""

    coefficients: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d, stacked: list[Tensor]) -> None:
        super().__init__()
        self._stacked = stacked  # of each segment, [outputs, K * d_in, ...]
        self._convolution = layer if isinstance(layer, nn.Conv2d) else None
        self.register_buffer("coefficients", torch.empty(0, device="meta"))

    def forward(self, inputs: Tensor) -> Tensor:
        made = []
        for index, stacked in enumerate(self._stacked):
            scales = self.coefficients[:, index].view(len(inputs), -1, *[1] * (inputs.dim() - 1))
            scaled = (scales * inputs.unsqueeze(1)).flatten(1, 2)  # [B, K * d_in, ...]
            if self._convolution is None:
                made.append(torch.nn.functional.linear(scaled, stacked))
            else:
                stride, padding = self._convolution.stride, self._convolution.padding
                made.append(torch.nn.functional.conv2d(scaled, stacked, None, stride, padding))
        return torch.cat(made, dim=1)
