"""Coefficients of four bits: sixteen levels a layer, and how to learn through the rounding.

This project's own: at the same bytes, more and coarser coefficients are worth more than fewer and
finer ones, provided that they were learned with the rounding in place.
"""

import torch
from torch import Tensor

LEVELS = 16

_CLIP_DEVIATIONS = 2.5


def four_bit_scales(coefficients: Tensor) -> Tensor:
    """The step between levels for each layer, `[L]`, of coefficients `[L, K]`.

    The levels reach 2.5 standard deviations either way; what lies beyond takes the outermost one.
    """
    deviation = coefficients.std(dim=1, correction=0)
    steps = 2 * _CLIP_DEVIATIONS * deviation / (LEVELS - 1)
    return steps.clamp_min(torch.finfo(torch.float16).tiny)


def to_levels(coefficients: Tensor, scales: Tensor) -> Tensor:
    """The nearest level of each coefficient, uint8 `[L, K]` in 0..15."""
    middle = (LEVELS - 1) / 2
    nearest = (coefficients / scales.unsqueeze(1) + middle).round()
    return nearest.clamp(0, LEVELS - 1).to(torch.uint8)


def from_levels(levels: Tensor, scales: Tensor) -> Tensor:
    """The coefficients `[L, K]`, fp32, that levels stand for: `(level - 7.5) * scale`."""
    return (levels.to(torch.float32) - (LEVELS - 1) / 2) * scales.unsqueeze(1)


class _StraightThrough(torch.autograd.Function):
    """Forward the rounded coefficients; backward takes their gradient as that of the exact ones."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, coefficients: Tensor) -> Tensor:
        scales = four_bit_scales(coefficients)
        return from_levels(to_levels(coefficients, scales), scales)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        return grad


def straight_through_four_bits(coefficients: Tensor) -> Tensor:
    """Coefficients `[L, K]` as four bits will keep them, with the gradient of the exact ones."""
    rounded: Tensor = _StraightThrough.apply(coefficients)  # type: ignore[no-untyped-call]
    return rounded
