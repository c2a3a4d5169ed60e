"""A layer's codes and geometry in the order in which `lanes.cpp` reads them. Multiplies nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from masked_network.compiled import Kernels, Layer
from masked_network.signed_codes import SignedLayer


@dataclass(frozen=True)
class LaneLayout:
    """The layer for rows of one shape; `kept` is what its pointers point to."""

    layer: Layer
    kept: tuple[Tensor, ...]
    row_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    scratch_size: int
    """How many floats of memory the product needs besides its inputs and outputs."""


def tiled_codes(signed: SignedLayer, tile: int) -> Tensor:
    """Signed codes of `tile` outputs side by side, uint16 `[tiles, terms, tile]`, the rest 0."""
    outputs = signed.shape[0]
    by_output = signed.signed.view(outputs, -1)  # [outputs, terms]
    whole = pad(by_output, (0, 0, 0, -outputs % tile)).view(-1, tile, by_output.shape[1])
    return whole.transpose(1, 2).contiguous().to(torch.uint16)


def lane_layout(
    signed: SignedLayer,
    codes: Tensor,
    kernels: Kernels,
    row_shape: tuple[int, ...],
    stride: int,
    padding: int,
) -> LaneLayout:
    """The layout for rows `[channels]` or `[channels, height, width]`; codes by `tiled_codes`.

    Raises `ValueError` on rows of another shape, or smaller than the kernel.
    """
    outputs, channels, *kernel = signed.shape
    if len(row_shape) != 1 + len(kernel) or row_shape[0] != channels:
        raise ValueError(f"{signed.name}: expected rows of {channels} channels, got {row_shape}")
    height, width = row_shape[1:] if kernel else (1, 1)
    kernel_height, kernel_width = kernel or (1, 1)
    padded_height, padded_width = height + 2 * padding, width + 2 * padding
    down = (padded_height - kernel_height) // stride + 1
    across = (padded_width - kernel_width) // stride + 1
    if min(padded_height - kernel_height, padded_width - kernel_width) < 0:
        raise ValueError(f"{signed.name}: expected rows as large as its kernel, got {row_shape}")
    padded = torch.arange(channels * padded_height * padded_width, dtype=torch.int32)
    places = padded.view(channels, padded_height, padded_width)
    offsets = places[:, :kernel_height, :kernel_width].flatten()  # [terms]
    bases = places[0, : down * stride : stride, : across * stride : stride].flatten()
    offsets, bases = offsets.contiguous(), bases.contiguous()
    layer = Layer(
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
        constant=signed.magnitude,
    )
    per_lane = 2 * signed.entries + len(padded) + outputs * len(bases)
    shape = (outputs, down, across) if kernel else (outputs,)
    return LaneLayout(layer, (codes, offsets, bases), row_shape, shape, per_lane * kernels.lanes)
