"""A task's coefficients as tensors of its artifact: one flat run of those that a weight uses.

In fp16; or in int8 or four bits, two of which share a byte, with a scale a layer.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from masked_network.quantisation import four_bit_scales, from_levels, to_levels
from model_store.packing import pack_levels, unpack_levels

COEFFICIENTS = "coefficients"
SCALES = "scales"

Precision = Literal["fp16", "int8", "int4"]

_LARGEST_INT8 = 127


def quantised(coefficients: Tensor, used: Tensor, precision: Precision) -> dict[str, Tensor]:
    """The tensors that keep those of the coefficients `[L, K]` that are `used`, bool `[L, K]`.

    They follow each other layer by layer; scales are fp16, of the layers that use any.
    """
    if precision == "fp16":
        return {COEFFICIENTS: coefficients[used].to(torch.float16)}
    if precision == "int4":
        scales = four_bit_scales(coefficients, used)
        values = pack_levels(to_levels(coefficients, scales)[used])
    else:
        largest = coefficients.abs().where(used, 0.0).amax(dim=1)
        half = (largest / _LARGEST_INT8).to(torch.float16)
        scales = half.clamp_min(torch.finfo(torch.float16).tiny).to(torch.float32)
        values = (coefficients / scales.unsqueeze(1)).round()[used].to(torch.int8)
    return {COEFFICIENTS: values, SCALES: scales[used.any(dim=1)].to(torch.float16)}


def coefficients_of(tensors: Mapping[str, Tensor], used: Tensor) -> Tensor:
    """Coefficients `[L, K]` in fp32, zero where not `used`; of tensors whose shapes are right.

    Raises `ValueError` where the last of an odd number of four-bit coefficients shares its byte.
    """
    values, precision = tensors[COEFFICIENTS], precision_of(tensors)
    spread = torch.zeros(used.shape)
    if precision == "fp16":
        spread[used] = values.to(torch.float32)
        return spread
    scales = torch.ones(len(used))
    scales[used.any(dim=1)] = tensors[SCALES].to(torch.float32)
    if precision == "int4":
        spread[used] = unpack_levels(values, int(used.sum())).to(torch.float32)
        return from_levels(spread, scales).where(used, 0.0)
    spread[used] = values.to(torch.float32)
    return spread * scales.unsqueeze(1)


def expected_coefficients(
    tensors: Mapping[str, Tensor], used: Tensor
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The name, shape and type of each tensor, in the precision of those that there are."""
    count, precision = int(used.sum()), precision_of(tensors)
    if precision == "fp16":
        return {COEFFICIENTS: ((count,), torch.float16)}
    packed = ((-(-count // 2),), torch.uint8)
    return {
        COEFFICIENTS: packed if precision == "int4" else ((count,), torch.int8),
        SCALES: ((int(used.any(dim=1).sum()),), torch.float16),
    }


def precision_of(tensors: Mapping[str, Tensor]) -> Precision:
    """In which precision the tensors keep coefficients."""
    if SCALES not in tensors:
        return "fp16"
    return "int4" if tensors[COEFFICIENTS].dtype == torch.uint8 else "int8"
