"""Composition over a bank of one plane of codes, touching memory once: read a code, write a weight.

For serving: the same weights, to the bit, as `compose`, but no gradient. This project's own.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from masked_network.compiled import Kernels
from masked_network.mask_bank import MaskBank
from masked_network.signed_codes import SignedLayer, one_plane, one_plane_layers

ComposedType = Literal["fp32", "fp16", "bf16"]
COMPOSED_DTYPES: Mapping[ComposedType, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}

_IN_REGISTERS = 256
_BLOCK = 64


class OnePassComposition:
    """The bank's codes laid out once, in one or two bytes a weight; any number of threads.

    Raises `ValueError` as `one_plane_layers` does.
    """

    def __init__(self, weights: Mapping[str, Tensor], bank: MaskBank, kernels: Kernels) -> None:
        layers = one_plane_layers(weights, bank)
        self._bank = bank
        magnitudes = [layer.magnitude for layer in layers for _ in layer.segments]
        self._magnitudes = torch.tensor(magnitudes).unsqueeze(1)  # [L, 1]
        self._layers = [
            _InRegisters(layer, kernels)
            if kernels.permutes_bytes and layer.entries <= _IN_REGISTERS
            else _InMemory(layer, kernels)
            for layer in layers
        ]

    def __call__(self, coefficients: Tensor, composed: ComposedType = "fp32") -> dict[str, Tensor]:
        """One task's weights from coefficients `[L, K]`, fp32; rounded to a narrower type at last.

        Raises `ValueError` on another shape or type.
        """
        if (
            coefficients.dtype != torch.float32
            or not coefficients.is_cpu
            or coefficients.dim() != 2
        ):
            got = f"{coefficients.dtype} {list(coefficients.shape)} on {coefficients.device}"
            raise ValueError(f"expected coefficients [L, K], fp32 in main memory, got {got}")
        # All layers at once: of a small layer, one operation more takes longer than its look-ups.
        worth = one_plane(self._bank, coefficients) * self._magnitudes
        tables = _Tables(worth.to(COMPOSED_DTYPES[composed]).contiguous())
        return {layer.name: layer.compose(tables) for layer in self._layers}


class _Tables:
    """What every code is worth, `[L, entries]`, and as signed codes need it once asked for."""

    def __init__(self, worth: Tensor) -> None:
        self.worth = worth
        self.entries = worth.shape[1]
        self._dtype = worth.dtype

    @cached_property
    def signed(self) -> Tensor:
        """One after another, each entry followed by its negative."""
        return torch.stack([self.worth, -self.worth], dim=2).flatten()

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        """Room for weights of the tables' type."""
        return torch.empty(shape, dtype=self._dtype)


class _InMemory:
    """A layer by signed codes of two bytes."""

    def __init__(self, layer: SignedLayer, kernels: Kernels) -> None:
        self.name, self._shape, self._kernels = layer.name, layer.shape, kernels
        self._first_table = layer.segments.start
        self._signed = layer.signed.to(torch.uint16)

    def compose(self, tables: _Tables) -> Tensor:
        composed = tables.empty(self._shape)
        own = tables.signed[2 * self._first_table * tables.entries :]
        self._kernels.look_up(self._signed, own, composed)
        return composed


class _InRegisters:
    """A layer by codes of one byte and signs of one bit."""

    def __init__(self, layer: SignedLayer, kernels: Kernels) -> None:
        self.name, self._shape, self._kernels = layer.name, layer.shape, kernels
        self._first_table, self._entries = layer.segments.start, layer.entries
        self._codes = _interleaved(layer.codes[0]).to(torch.uint8)
        bits = np.packbits(_interleaved(layer.negative).numpy(), bitorder="little")
        self._negative = torch.from_numpy(bits)

    def compose(self, tables: _Tables) -> Tensor:
        composed = tables.empty(self._shape)
        first = self._first_table * tables.entries
        self._kernels.look_up_bytes(
            self._codes, self._negative, tables.worth, first, self._entries, composed
        )
        return composed


def _interleaved(values: Tensor) -> Tensor:
    """Padded to whole blocks, each in the order that joining bytes within quarters undoes."""
    blocks = pad(values, (0, -len(values) % _BLOCK)).view(-1, 4, 4, 4)
    return blocks.transpose(1, 2).flatten()
