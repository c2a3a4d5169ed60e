"""A task's coefficients as tensors of its artifact: one flat run of those that a weight uses.

In fp16; or in int8, or packed in four or two bits each, with a scale a layer.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from masked_network.quantisation import Bits, from_levels, level_scales, to_levels
from model_store.packing import pack_levels, unpack_levels

COEFFICIENTS = "coefficients"
SCALES = "scales"

Precision = Literal["fp16", "int8", "int4", "int2"]

# The type of the tensor tells the precision: packed bytes are kept in words of two where they hold
# two bits each.
_DTYPES: dict[Precision, torch.dtype] = {
    "fp16": torch.float16,
    "int8": torch.int8,
    "int4": torch.uint8,
    "int2": torch.uint16,
}
_BITS: dict[Precision, Bits] = {"int4": 4, "int2": 2}

_LARGEST_INT8 = 127


def quantised(coefficients: Tensor, used: Tensor, precision: Precision) -> dict[str, Tensor]:
    """The tensors that keep those of the coefficients `[L, K]` that are `used`, bool `[L, K]`.

    They follow each other layer by layer; scales are fp16, of the layers that use any. Of several
    tasks' coefficients, `[T, L, K]`, each tensor is stacked.
    """
    if precision == "fp16":
        return {COEFFICIENTS: coefficients[..., used].to(torch.float16)}
    bits = packed_bits(precision)
    if bits is not None:
        scales = level_scales(coefficients, used, bits)
        values = _packed(to_levels(coefficients, scales, bits)[..., used], precision)
    else:
        largest = coefficients.abs().where(used, 0.0).amax(dim=-1)
        half = (largest / _LARGEST_INT8).to(torch.float16)
        scales = half.clamp_min(torch.finfo(torch.float16).tiny).to(torch.float32)
        values = (coefficients / scales.unsqueeze(-1)).round()[..., used].to(torch.int8)
    return {COEFFICIENTS: values, SCALES: scales[..., used.any(dim=-1)].to(torch.float16)}


def coefficients_of(tensors: Mapping[str, Tensor], used: Tensor) -> Tensor:
    """Coefficients `[L, K]` in fp32, zero where not `used`; of tensors whose shapes are right.

    Of the tensors of several tasks, stacked, `[T, L, K]`. Raises `ValueError` where bits beyond the
    last of the packed coefficients are set.
    """
    values, precision = tensors[COEFFICIENTS], precision_of(tensors)
    bits = packed_bits(precision)
    if bits is not None:
        values = unpack_levels(values.view(torch.uint8), bits, int(used.sum()))
    spread = torch.zeros(*values.shape[:-1], *used.shape)
    spread[..., used] = values.to(torch.float32)
    if precision == "fp16":
        return spread
    scales = torch.ones(*values.shape[:-1], len(used))
    scales[..., used.any(dim=1)] = tensors[SCALES].to(torch.float32)
    if bits is not None:
        return from_levels(spread, scales, bits).where(used, 0.0)
    return spread * scales.unsqueeze(-1)


def expected_coefficients(
    tensors: Mapping[str, Tensor], used: Tensor
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The name, shape and type of each tensor, in the precision of those that there are."""
    count, precision = int(used.sum()), precision_of(tensors)
    dtype, bits = _DTYPES[precision], packed_bits(precision)
    if bits is not None:
        count = -(-count * bits // (8 * dtype.itemsize))
    expected: dict[str, tuple[tuple[int, ...], torch.dtype]] = {COEFFICIENTS: ((count,), dtype)}
    if precision != "fp16":
        expected[SCALES] = ((int(used.any(dim=1).sum()),), torch.float16)
    return expected


def precision_of(tensors: Mapping[str, Tensor]) -> Precision:
    """In which precision the tensors keep coefficients."""
    if SCALES not in tensors:
        return "fp16"
    dtype = tensors[COEFFICIENTS].dtype
    return next((precision for precision, of in _DTYPES.items() if of == dtype), "int8")


def packed_bits(precision: Precision) -> Bits | None:
    """How many bits a coefficient takes where several share a byte; else None."""
    return _BITS.get(precision)


def _packed(levels: Tensor, precision: Precision) -> Tensor:
    dtype = _DTYPES[precision]
    packed = pack_levels(levels, _BITS[precision])
    return torch.nn.functional.pad(packed, (0, -packed.shape[-1] % dtype.itemsize)).view(dtype)
