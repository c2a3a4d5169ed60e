"""A layer of rows that each have weights of their own, as the compiled library takes it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from masked_network.compiled import Kernels
from masked_network.signed_codes import SignedLayer
from masked_network.structures import Convolution, Layer


class FusedLinear:
    """A linear layer, computed by `lanes.cpp`. For one thread at a time."""

    def __init__(self, signed: SignedLayer, kernels: Kernels) -> None:
        self.signed, self._kernels = signed, kernels
        self._outputs, self._terms = signed.shape
        self._codes = tiled_codes(signed, kernels.tile)
        self.layer = Layer(
            codes=self._codes.data_ptr(),
            outputs=self._outputs,
            terms=self._terms,
            entries=signed.entries,
            constant=signed.magnitude,
        )
        self.scratch_size = (2 * signed.entries + self._terms + self._outputs) * kernels.lanes

    def __call__(self, tables: Tensor, task_of_row: Tensor, inputs: Tensor) -> Tensor:
        """Outputs `[B, outputs]` by the tables of all tasks.

        Raises `ValueError` on rows of another length.
        """
        if inputs.shape[1:] != (self._terms,):
            expected = f"expected rows of {self._terms} channels"
            raise ValueError(f"{self.signed.name}: {expected}, got {tuple(inputs.shape[1:])}")
        outputs = inputs.new_empty(len(inputs), self._outputs)
        self._kernels.product(
            self.layer,
            self.signed.table(tables),
            task_of_row,
            inputs.contiguous(),
            outputs,
            inputs.new_empty(self.scratch_size),
        )
        return outputs


@dataclass(frozen=True)
class FusedConvolution:
    """A convolution, padded by zeros, of rows of one shape, for `convolution.hpp`."""

    layer: Convolution
    output_shape: tuple[int, ...]
    scratch_size: int
    """How many floats of memory it needs besides its inputs and outputs."""
    kept: tuple[Tensor, ...]
    """What the layer's pointers point to."""


def fused_convolution(
    signed: SignedLayer, kernels: Kernels, row_shape: tuple[int, ...], stride: int, padding: int
) -> FusedConvolution:
    """The layer for rows `[channels, height, width]`; a linear one is that of images of one pixel.

    Raises `ValueError` on rows of another shape.
    """
    outputs, channels, *kernel = signed.shape
    down, across = kernel or (1, 1)
    if len(row_shape) != 3 or row_shape[0] != channels:
        raise ValueError(f"{signed.name}: expected rows of {channels} channels, got {row_shape}")
    _, height, width = row_shape
    padded_height, padded_width = height + 2 * padding, width + 2 * padding
    lines, places = (padded_height - down) // stride + 1, (padded_width - across) // stride + 1
    padded = torch.arange(channels * padded_height * padded_width, dtype=torch.int32)
    padded = padded.view(channels, padded_height, padded_width)
    offsets = padded[:, :down, :across].flatten().contiguous()  # [terms]
    bases = padded[0, : lines * stride : stride, : places * stride : stride].flatten()
    codes, bases = tiled_codes(signed, kernels.tile), bases.contiguous()  # [positions]
    layer = Convolution(
        codes=codes.data_ptr(),
        offsets=offsets.data_ptr(),
        bases=bases.data_ptr(),
        outputs=outputs,
        terms=len(offsets),
        positions=len(bases),
        entries=signed.entries,
        channels=channels,
        height=height,
        width=width,
        padding=padding,
        across=places,
        stride=stride,
        constant=signed.magnitude,
    )
    side_by_side = 2 * kernels.lanes * (kernels.tile + len(offsets) + 2)
    size = padded.numel() + 2 * signed.entries + side_by_side
    return FusedConvolution(layer, (outputs, lines, places), size, (codes, offsets, bases))


def tiled_codes(signed: SignedLayer, tile: int) -> Tensor:
    """Signed codes of `tile` outputs side by side, uint16 `[tiles, terms, tile]`, the rest 0."""
    outputs = signed.shape[0]
    by_output = signed.signed.view(outputs, -1)  # [outputs, terms]
    whole = pad(by_output, (0, 0, 0, -outputs % tile)).view(-1, tile, by_output.shape[1])
    return whole.transpose(1, 2).contiguous().to(torch.uint16)
