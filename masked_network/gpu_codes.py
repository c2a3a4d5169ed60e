"""A bank's codes and signs in the fewest bytes, in the order in which the Triton kernels read them.

Composes nothing and multiplies nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from masked_network.signed_codes import SignedLayer

GROUP = 8
"""Weights side by side: their signs are one byte."""
BLOCK = 1024
"""Weights that one program composes."""
TILE = 16
"""Outputs of a layer that one program computes."""
WIDTH = 64
"""Inputs that it reads at a time."""

_A_BYTE = 256


@dataclass(frozen=True)
class GpuCodes:
    """Codes `[planes, places]`, uint8 where they fit, else uint16, and their signs.

    Where they are packed a code is `2 * code + negative`; else `signs` has a bit a place, uint8
    `[places / 8]`. There are a multiple of eight places; some only fill up.
    """

    codes: Tensor
    signs: Tensor
    packed: bool

    @property
    def places(self) -> int:
        """Of each plane."""
        return self.codes.shape[1]

    @property
    def byte_size(self) -> int:
        """What is read to know every code and sign once."""
        signs = 0 if self.packed else self.signs.numel()
        return self.codes.numel() * self.codes.element_size() + signs


def gpu_codes(codes: Tensor, negative: Tensor, entries: int) -> GpuCodes:
    """Of codes `[planes, places]` below `entries`, and signs, bool `[places]`.

    One plane is packed, but for codes that take a whole byte: two bytes would be more to read than
    a byte and a bit.
    """
    if len(codes) == 1 and not _A_BYTE // 2 < entries <= _A_BYTE:
        # A pointer to something, which is never read.
        return GpuCodes(_narrowed(2 * codes + negative, entries), negative[:GROUP].byte(), True)
    in_groups = negative.view(-1, GROUP).byte()
    signs = torch.zeros_like(in_groups[:, 0])
    for bit in range(GROUP):
        signs |= in_groups[:, bit] << bit
    return GpuCodes(_narrowed(codes, entries), signs, False)


def _narrowed(codes: Tensor, entries: int) -> Tensor:
    if entries <= _A_BYTE:
        return codes.to(torch.uint8)
    # The same bits; not every device converts to uint16.
    return codes.to(torch.int16).view(torch.uint16)


def product_codes(layer: SignedLayer) -> tuple[GpuCodes, int]:
    """The codes of a layer `[outputs, inputs]`, filled up to whole tiles, and how wide they are."""
    outputs, inputs = layer.shape
    filled = (0, -inputs % WIDTH, 0, -outputs % TILE)
    codes = pad(layer.codes.view(-1, outputs, inputs), filled)
    negative = pad(layer.negative.view(outputs, inputs), filled)
    return gpu_codes(codes.flatten(1), negative.flatten(), layer.entries), codes.shape[2]


class LayerBlocks:
    """All layers' codes one after another, each in whole blocks, and what else composes a block."""

    def __init__(self, layers: Sequence[SignedLayer], segment_entries: int, block: int) -> None:
        """`segment_entries`: of the table of one segment, all its planes together."""
        self.block = block
        self.shapes = {layer.name: layer.shape for layer in layers}
        self.of_layer: dict[str, range] = {}
        """Which blocks are a layer's."""
        codes, negative = [], []
        counts: list[int] = []
        for layer in layers:
            filled = (0, -layer.negative.numel() % block)
            codes.append(pad(layer.codes, filled))
            negative.append(pad(layer.negative, filled))
            first = sum(counts)
            counts.append(len(negative[-1]) // block)
            self.of_layer[layer.name] = range(first, first + counts[-1])
        self.count = sum(counts)
        most_entries = max(layer.entries for layer in layers)
        self.codes = gpu_codes(torch.cat(codes, dim=1), torch.cat(negative), most_entries)
        device, repeats = self.codes.codes.device, torch.tensor(counts)
        starts = torch.tensor([layer.segments.start * segment_entries for layer in layers])
        magnitudes = torch.tensor([layer.magnitude for layer in layers])
        self.starts = starts.repeat_interleave(repeats).to(device, torch.int32)
        """Where each block's table begins in those of a task."""
        self.magnitudes = magnitudes.repeat_interleave(repeats).to(device)
        """What each block's weights are multiplied by, fp32."""
