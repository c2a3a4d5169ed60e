"""Coefficients of two or four bits: evenly spaced levels, and how to learn through the rounding.

This project's own: at the same bytes, more and coarser coefficients are worth more than fewer and
finer ones, provided that they were learned with the rounding in place.
"""

from typing import Literal

import torch
from torch import Tensor

Bits = Literal[2, 4]

# Near what costs normal values least (Max 1960, evenly spaced levels).
_CLIP_DEVIATIONS: dict[Bits, float] = {2: 1.5, 4: 2.5}


def level_scales(coefficients: Tensor, used: Tensor, bits: Bits) -> Tensor:
    """The step between levels for each layer, fp32 `[..., L]`, of coefficients `[..., L, K]`.

    The `2^bits` levels reach 1.5 (two bits) or 2.5 (four) standard deviations of the layer's `used`
    ones, bool `[L, K]`, either way; what lies beyond takes the outermost one. A step is a number
    that fp16 can hold.
    """
    counts = used.sum(dim=-1).clamp_min(1)
    means = coefficients.where(used, 0.0).sum(dim=-1) / counts
    deviations = (coefficients - means.unsqueeze(-1)).where(used, 0.0)
    deviation = (deviations.square().sum(dim=-1) / counts).sqrt()
    steps = (2 * _CLIP_DEVIATIONS[bits] * deviation / (2**bits - 1)).to(torch.float16)
    return steps.clamp_min(torch.finfo(torch.float16).tiny).to(torch.float32)


def to_levels(coefficients: Tensor, scales: Tensor, bits: Bits) -> Tensor:
    """The nearest level of each coefficient, uint8 `[..., L, K]` from 0 to `2^bits - 1`."""
    highest = 2**bits - 1
    nearest = (coefficients / scales.unsqueeze(-1) + highest / 2).round()
    return nearest.clamp(0, highest).to(torch.uint8)


def from_levels(levels: Tensor, scales: Tensor, bits: Bits) -> Tensor:
    """The coefficients `[..., L, K]`, fp32, of levels that are centred on zero, `scale` apart."""
    return (levels.to(torch.float32) - (2**bits - 1) / 2) * scales.unsqueeze(-1)


class _StraightThrough(torch.autograd.Function):
    """Forward the rounded coefficients; backward takes their gradient as that of the exact ones."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, coefficients: Tensor, used: Tensor, bits: Bits
    ) -> Tensor:
        scales = level_scales(coefficients, used, bits)
        return from_levels(to_levels(coefficients, scales, bits), scales, bits)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        return grad, None, None


def straight_through_levels(coefficients: Tensor, used: Tensor, bits: Bits) -> Tensor:
    """Coefficients `[L, K]` as so many bits keep the `used` ones, with the gradient of the exact.

    What is not used is left to chance.
    """
    rounded: Tensor = _StraightThrough.apply(coefficients, used, bits)  # type: ignore[no-untyped-call]
    return rounded
