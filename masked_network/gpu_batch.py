"""Rows of any tasks on a GPU: what `fused_batch` is on a CPU, over a bank of any kind.

In a linear layer code, look-up and product are one pass that writes no weight. A convolution uses
each weight at many places: its weights are composed for each row, and forgotten after the layer.
This project's own. A row's logits are those of its composed network but for the order of summing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from masked_network.fully_connected import FullyConnected
from masked_network.gpu_codes import TILE, WIDTH, product_codes
from masked_network.gpu_composition import GpuComposition
from masked_network.gpu_kernels import GpuKernels
from masked_network.mask_bank import MaskBank
from masked_network.mixed_batch import MixedBatch
from masked_network.row_layers import RowLayers
from masked_network.signed_codes import SignedLayer, all_planes, signed_layers
from masked_network.task_statistics import statistics_layers

_MOST_COMPOSED = 1 << 27
"""Weights, and inputs side by side, that a convolution has at a time: half a gigabyte of each."""


class GpuBatch:
    """The network laid out once for batches of any tasks; for one thread at a time.

    Where weights and bank are. Raises `ValueError` as `signed_layers` does.
    """

    def __init__(
        self,
        backbone: nn.Module,
        weights: Mapping[str, Tensor],
        bank: MaskBank,
        kernels: GpuKernels,
        most_composed: int = _MOST_COMPOSED,
    ) -> None:
        layers = {layer.name: layer for layer in signed_layers(weights, bank)}
        self._bank = bank
        self._statistics = statistics_layers(backbone)
        self._device = next(iter(weights.values())).device
        self._chain: list[_Product] = []
        self._rows: RowLayers | None = None
        if type(backbone) is FullyConnected:
            # By itself: what `functional_call` takes is longer than three small layers.
            last = next(reversed(layers))
            self._chain = [
                _Product(layer, kernels, relu=name != last) for name, layer in layers.items()
            ]
            return
        composition = GpuComposition(weights, bank, kernels)
        self._rows = RowLayers(
            backbone,
            lambda name, layer: (
                _RowConvolution(name, layer, composition, most_composed)
                if isinstance(layer, nn.Conv2d)
                else _Product(layers[name], kernels, relu=False)
            ),
        )

    @torch.no_grad()
    def __call__(self, batch: MixedBatch, inputs: Tensor) -> Tensor:
        """Logits `[B, outputs]`, fp32, for inputs `[B, *input_shape]`.

        Raises `ValueError` on coefficients, statistics, rows, types or devices that do not fit.
        """
        for tensor in (batch.coefficients, inputs):
            if tensor.dtype != torch.float32 or tensor.device != self._device:
                expected = f"expected fp32 on {self._device}"
                raise ValueError(f"{expected}, got {tensor.dtype} on {tensor.device}")
        batch.check(inputs, self._statistics)
        tables = all_planes(self._bank, batch.coefficients).contiguous()
        return self.under(
            tables, batch.task_of_row.contiguous(), batch.statistics_of_rows(), inputs
        )

    def under(
        self, tables: Tensor, task_of_row: Tensor, statistics: Mapping[str, Tensor], inputs: Tensor
    ) -> Tensor:
        """The same by all tables `[T, L, planes, entries]` and each row's statistics, unchecked.

        `task_of_row` int64 `[B]`, statistics `[B, channels]`; no gradient is kept of it.
        """
        if self._rows is not None:
            buffers: dict[str, Tensor] = {}
            for name in self._rows.names:
                buffers |= {f"{name}.tables": tables, f"{name}.task_of_row": task_of_row}
            return self._rows.under(buffers, statistics, inputs)
        hidden = inputs.flatten(start_dim=1)
        for product in self._chain:
            hidden = product.under(tables, task_of_row, hidden)
        return hidden[:, : self._chain[-1].outputs]


class _Product(nn.Module):
    """A linear layer of rows that each have weights of their own."""

    tables: Tensor
    task_of_row: Tensor

    def __init__(self, layer: SignedLayer, kernels: GpuKernels, relu: bool) -> None:
        super().__init__()
        self.outputs, self._inputs = layer.shape
        self._name, self._kernels, self._relu = layer.name, kernels, relu
        self._segment, self._magnitude = layer.segments.start, layer.magnitude
        self._codes, self._width = product_codes(layer)
        for name in ("tables", "task_of_row"):
            self.register_buffer(name, torch.empty(0, device="meta"))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.under(self.tables, self.task_of_row, inputs)[:, : self.outputs]

    def under(self, tables: Tensor, task_of_row: Tensor, inputs: Tensor) -> Tensor:
        """Outputs, and zeros up to a width that a next layer reads, by the tables of all tasks."""
        given = inputs.shape[1]
        if given not in (self._inputs, self._width):
            raise ValueError(f"{self._name}: expected rows of {self._inputs}, got {given}")
        # Padding by nothing copies.
        whole = inputs if given == self._width else pad(inputs, (0, self._width - given))
        length = self.outputs + -self.outputs % (WIDTH if self._relu else TILE)
        outputs = inputs.new_empty(len(inputs), length)
        start = self._segment * tables[0, 0].numel()
        self._kernels.product(
            *(self._codes, start, self._magnitude, tables, task_of_row),
            *(whole.contiguous(), outputs, self.outputs, self._relu),
        )
        return outputs


class _RowConvolution(nn.Module):
    """A convolution of rows that each have weights of their own: one product a row, all at once."""

    tables: Tensor
    task_of_row: Tensor

    def __init__(
        self, name: str, layer: nn.Conv2d, composition: GpuComposition, most_composed: int
    ) -> None:
        super().__init__()
        self._name, self._composition = name, composition
        self._kernel = tuple(layer.weight.shape[2:])
        self._stride, self._padding = layer.stride[0], int(layer.padding[0])
        self._weights, self._most_composed = layer.weight.numel(), most_composed
        for buffer in ("tables", "task_of_row"):
            self.register_buffer(buffer, torch.empty(0, device="meta"))

    def forward(self, inputs: Tensor) -> Tensor:
        side = self._padding
        whole = pad(inputs, (side, side, side, side)) if side else inputs
        windows = whole.unfold(2, self._kernel[0], self._stride)
        windows = windows.unfold(3, self._kernel[1], self._stride)  # [B, channels, H, W, *kernel]
        height, width = windows.shape[2:4]
        largest = max(self._weights, windows[0].numel())
        at_once = max(1, self._most_composed // largest)
        parts = []
        for some, tasks in zip(
            torch.split(windows, at_once), torch.split(self.task_of_row, at_once), strict=True
        ):
            weights = self._composition.of_rows(self._name, self.tables, tasks)
            # Not by `nn.functional.unfold`, which launches once for each row.
            columns = some.permute(0, 1, 4, 5, 2, 3).reshape(len(some), -1, height * width)
            parts.append(torch.bmm(weights, columns))  # [B, outputs, H * W]
        return torch.cat(parts).view(len(inputs), -1, height, width)
