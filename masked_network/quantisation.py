"""Coefficients of four bits: sixteen levels a layer, and how to learn through the rounding.

This project's own: at the same bytes, more and coarser coefficients are worth more than fewer and
finer ones, provided that they were learned with the rounding in place.
"""

import torch
from torch import Tensor

LEVELS = 16

_CLIP_DEVIATIONS = 2.5


def four_bit_scales(coefficients: Tensor, used: Tensor) -> Tensor:
    """The step between levels for each layer, fp32 `[L]`, of coefficients `[L, K]`.

    The levels reach 2.5 standard deviations of the layer's `used` ones, bool `[L, K]`, either way;
    what lies beyond takes the outermost one. A step is a number that fp16 can hold.
    """
    counts = used.sum(dim=1).clamp_min(1)
    means = coefficients.where(used, 0.0).sum(dim=1) / counts
    deviations = (coefficients - means.unsqueeze(1)).where(used, 0.0)
    deviation = (deviations.square().sum(dim=1) / counts).sqrt()
    steps = (2 * _CLIP_DEVIATIONS * deviation / (LEVELS - 1)).to(torch.float16)
    return steps.clamp_min(torch.finfo(torch.float16).tiny).to(torch.float32)


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
    def forward(
        ctx: torch.autograd.function.FunctionCtx, coefficients: Tensor, used: Tensor
    ) -> Tensor:
        scales = four_bit_scales(coefficients, used)
        return from_levels(to_levels(coefficients, scales), scales)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def straight_through_four_bits(coefficients: Tensor, used: Tensor) -> Tensor:
    """Coefficients `[L, K]` as four bits will keep the `used` ones, with the exact ones' gradient.

    What is not used is left to chance.
    """
    rounded: Tensor = _StraightThrough.apply(coefficients, used)  # type: ignore[no-untyped-call]
    return rounded
