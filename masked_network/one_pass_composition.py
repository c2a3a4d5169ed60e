"""Composition over a bank of one plane of codes, touching memory once: read a code, write a weight.

For serving: the same weights, to the bit, as `compose`, but no gradient. This project's own.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from masked_network.compiled import Kernels
from masked_network.mask_bank import MaskBank
from masked_network.reused_memory import ReusedMemory
from masked_network.signed_codes import SignedLayer, one_plane, one_plane_layers
from masked_network.structures import BF16, FP16, FP32, ByteCodes

ComposedType = Literal["fp32", "fp16", "bf16"]
COMPOSED_DTYPES: Mapping[ComposedType, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
_WORDS: Mapping[ComposedType, int] = {"fp32": FP32, "fp16": FP16, "bf16": BF16}

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
        self._names = [layer.name for layer in layers]
        by_bytes = [
            layer for layer in layers if kernels.permutes_bytes and layer.entries <= _IN_REGISTERS
        ]
        width = one_plane(bank, torch.zeros(len(bank.codes), bank.size)).shape[-1]
        self._in_registers = _InRegisters(by_bytes, width, kernels) if by_bytes else None
        self._in_memory = [_InMemory(layer, kernels) for layer in layers if layer not in by_bytes]

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
        tables = one_plane(self._bank, coefficients).contiguous()  # [L, entries]
        found = {}
        if self._in_registers is not None:
            found = self._in_registers.compose(tables, composed)
        if not self._in_memory:
            return found
        worth = (tables * self._magnitudes).to(COMPOSED_DTYPES[composed])
        signed = torch.stack([worth, -worth], dim=2)  # [L, entries, 2]
        found |= {layer.name: layer.compose(signed) for layer in self._in_memory}
        return {name: found[name] for name in self._names}


class _InMemory:
    """A layer by signed codes of two bytes."""

    def __init__(self, layer: SignedLayer, kernels: Kernels) -> None:
        self.name, self._shape, self._kernels = layer.name, layer.shape, kernels
        self._first_table = layer.segments.start
        self._signed = layer.signed.to(torch.uint16)

    def compose(self, signed_tables: Tensor) -> Tensor:
        composed = signed_tables.new_empty(self._shape)
        self._kernels.look_up(self._signed, signed_tables[self._first_table :], composed)
        return composed


class _InRegisters:
    """Layers by codes of one byte and signs of one bit: all in one call, into one piece of memory.

    Beside the look-ups of a small layer, a call and a tensor of its own would take as long.
    """

    def __init__(self, layers: Sequence[SignedLayer], width: int, kernels: Kernels) -> None:
        self._kernels = kernels
        self._codes = [_interleaved(layer.codes[0]).to(torch.uint8) for layer in layers]
        self._negative = [
            torch.from_numpy(np.packbits(_interleaved(layer.negative).numpy(), bitorder="little"))
            for layer in layers
        ]
        # Each begins at a whole block.
        starts = list(accumulate(map(len, self._codes), initial=0))
        size = starts.pop()
        self._memory = {
            composed: ReusedMemory(size, dtype) for composed, dtype in COMPOSED_DTYPES.items()
        }
        self._views = [
            (layer.name, layer.shape, _strides(layer.shape), start)
            for layer, start in zip(layers, starts, strict=True)
        ]
        self._layers = (ByteCodes * len(layers))(
            *(
                ByteCodes(
                    codes=codes.data_ptr(),
                    negative=negative.data_ptr(),
                    count=prod(layer.shape),
                    entries=layer.entries,
                    first=layer.segments.start * width,
                    to=start,
                    constant=layer.magnitude,
                )
                for layer, codes, negative, start in zip(
                    layers, self._codes, self._negative, starts, strict=True
                )
            )
        )

    def compose(self, tables: Tensor, composed: ComposedType) -> dict[str, Tensor]:
        weights = self._memory[composed].empty()
        self._kernels.look_up_bytes(self._layers, tables, weights, _WORDS[composed])
        return {
            name: weights.as_strided(shape, strides, start)
            for name, shape, strides, start in self._views
        }


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(prod(shape[place + 1 :]) for place in range(len(shape)))


def _interleaved(values: Tensor) -> Tensor:
    """Padded to whole blocks, each in the order that joining bytes within quarters undoes."""
    blocks = pad(values, (0, -len(values) % _BLOCK)).view(-1, 4, 4, 4)
    return blocks.transpose(1, 2).flatten()
