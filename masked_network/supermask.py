"""Scores to binary supermasks, with a straight-through gradient (edge-popup).

By rank, the top share of `|score|`; or by threshold, every score of at least zero.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.backbones import MaskedLayer

_SMALL_SELECTION = 1 << 14
_WORTH_SAMPLING, _SAMPLED = 1 << 15, 64


def initial_scores(layers: Iterable[MaskedLayer], generator: torch.Generator) -> dict[str, Tensor]:
    """Scores as edge-popup starts them: `kaiming_uniform(a=sqrt(5))` (1911.13299, section 3)."""
    scores = {}
    for layer in layers:
        bound = 1 / math.sqrt(layer.fan_in)
        scores[layer.name] = torch.empty(layer.shape).uniform_(-bound, bound, generator=generator)
    return scores


def check_density(density: float) -> None:
    """Raise `ValueError` on a density outside (0, 1]."""
    if not 0 < density <= 1:
        raise ValueError(f"density is the share kept, in (0, 1], got {density}")


def binary_mask(scores: Tensor, density: float) -> Tensor:
    """The `density` share of the weights with the largest `|score|`, as bool of the same shape.

    At least one; more where scores tie. Raises `ValueError` on a density outside (0, 1].
    """
    magnitude = scores.detach().abs()
    return magnitude >= _smallest_kept(magnitude, density)


def _smallest_kept(magnitude: Tensor, density: float) -> float | Tensor:
    check_density(density)
    size = magnitude.numel()
    kept = max(1, round(density * size))
    if magnitude.is_cpu:
        return _ordered(magnitude.numpy().reshape(-1), size - kept)
    # Elsewhere a number that is only compared stays there: nothing waits for it. One block of the
    # GPU selects: of 230,000 an H200 takes 900 us for that, 80 to sort them; of 2,700, 23 and 53.
    flat = magnitude.flatten()
    if size <= _SMALL_SELECTION:
        return flat.kthvalue(size - kept + 1).values
    return flat.sort().values[size - kept]


def _ordered(values: NDArray[np.float32], index: int) -> float:
    """`sorted(values)[index]`.

    Looked for between two values of a sorted sample that it nearly always lies between. On a
    processor where numpy's selection has no vectors, 235,200 take 0.6 ms so instead of 2.5.
    """
    if values.size < _WORTH_SAMPLING:
        return float(np.partition(values, index)[index])
    sample = np.sort(values[::_SAMPLED])
    place = index * sample.size // values.size
    margin = 2 * math.isqrt(sample.size)  # four deviations of the median's place
    low = sample[max(0, place - margin)]
    high = sample[min(sample.size - 1, place + margin)]
    between = values[(values >= low) & (values <= high)]
    within = index - int(np.count_nonzero(values < low))
    if 0 <= within < between.size:
        return float(np.partition(between, within)[within])
    return float(np.partition(values, index)[index])


def threshold_mask(scores: Tensor) -> Tensor:
    """The weights whose score is at least zero, as bool of the same shape.

    The variant of SupSup (2006.14769) for tasks without identity; about half at first.
    """
    return scores.detach() >= 0


class _StraightThrough(torch.autograd.Function):
    """Forward the mask; backward takes the mask's gradient as that of the score's magnitude."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, scores: Tensor, density: float) -> Tensor:
        ctx.save_for_backward(scores)
        # In place, here and backward: at this size fresh memory costs more than the arithmetic.
        magnitude = scores.abs()
        return magnitude.ge_(_smallest_kept(magnitude, density))

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad_mask: Tensor
    ) -> tuple[Tensor, None]:
        (scores,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return scores.sign().mul_(grad_mask), None


def straight_through_mask(scores: Tensor, density: float) -> Tensor:
    """`binary_mask` as floats, whose gradient reaches `|score|` unchanged (1911.13299)."""
    mask: Tensor = _StraightThrough.apply(scores, density)  # type: ignore[no-untyped-call]
    return mask


class _StraightThroughThreshold(torch.autograd.Function):
    """Forward the mask; backward takes the mask's gradient as that of the score."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, scores: Tensor) -> Tensor:
        return threshold_mask(scores).to(scores.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad_mask: Tensor) -> Tensor:
        return grad_mask


def straight_through_threshold(scores: Tensor) -> Tensor:
    """`threshold_mask` as floats, whose gradient reaches the score unchanged."""
    mask: Tensor = _StraightThroughThreshold.apply(scores)  # type: ignore[no-untyped-call]
    return mask


def masked_weights(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`W * M`, layer by layer (SupSup 2006.14769, equation 1)."""
    return {name: weight * masks[name] for name, weight in weights.items()}
