"""What the inputs of tasks look like: for each task a Gaussian in a few shared random directions.

Evidence of which task inputs belong to, beside the entropy of the tasks' answers; this project's
own. It knows nothing of labels, and cannot tell apart tasks whose inputs are the same.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.counter_random import random_bits

MOST_DIRECTIONS = 36
"""Measured: the most whose Gaussian fits, four bits a regression, into 512 bytes of a task's
file. Its covariance is what tells a task from itself turned by ten degrees."""

_LEAST_VARIANCE = 1e-3


def direction_count(length: int) -> int:
    """How many directions inputs of so many numbers have: `MOST_DIRECTIONS`, or half as many.

    Fewer than inputs, since regressions on as many as there are would be known too ill.
    """
    return min(MOST_DIRECTIONS, max(1, length // 2))


def directions(seed: int, length: int) -> Tensor:
    """The directions `[length, D]` of a store whose inputs have so many numbers; signs, drawn."""
    count = direction_count(length)
    bits = torch.from_numpy(random_bits(seed, "directions", length * count))
    signs = (2 * bits.to(torch.float32) - 1).view(length, count)
    return signs / math.sqrt(length)


@dataclass(frozen=True)
class InputGaussians:
    """Gaussians of T tasks over projections `[n, D]`, each direction regressed on those before it.

    With `u = (z - means) / deviations`, direction i leaves the residual
    `precisions[i] * (u[i] + sum_{j<i} regressions[i, j] u[j])`, and residuals are standard normal.
    So the first d directions alone are the Gaussian of these. `means`, `deviations` and
    `precisions` are `[T, D]`, `regressions` `[T, D, D]` and zero where j is not below i.
    """

    means: Tensor
    deviations: Tensor
    precisions: Tensor
    regressions: Tensor

    def __len__(self) -> int:
        return len(self.means)

    def first(self, count: int) -> "InputGaussians":
        """The same over the first directions alone."""
        return InputGaussians(
            self.means[:, :count],
            self.deviations[:, :count],
            self.precisions[:, :count],
            self.regressions[:, :count, :count],
        )

    def whitening(self) -> Tensor:
        """What makes residuals of `z - means`: `[T, D, D]`, lower triangular."""
        one = torch.eye(self.means.shape[1])
        return (
            (self.regressions + one) * (self.precisions.unsqueeze(2)) / self.deviations.unsqueeze(1)
        )

    def log_likelihoods(self, projected: Tensor) -> Tensor:
        """Of rows `[n, D]` under each task, in nats, `[n, T]`; short of a constant of D alone."""
        whitening = self.whitening()
        offsets = torch.einsum("tij,tj->ti", whitening, self.means)
        residuals = torch.einsum("tij,nj->nti", whitening, projected) - offsets
        return self.log_volumes() - residuals.square().sum(dim=2) / 2

    def with_regressions(self, regressions: Tensor) -> "InputGaussians":
        """Others, such as rounded ones, with the precisions that fit the same correlations best."""
        one = torch.eye(self.means.shape[1], dtype=torch.float64)
        exact = (self.regressions.double() + one) * self.precisions.double().unsqueeze(2)
        lower = torch.linalg.solve_triangular(exact, one, upper=False)  # correlations' own root
        residuals = ((regressions.double() + one) @ lower).square().sum(dim=2)
        precisions = residuals.rsqrt().to(self.precisions.dtype)
        return InputGaussians(self.means, self.deviations, precisions, regressions)

    def log_volumes(self) -> Tensor:
        """Logarithms of the whitening's determinants, `[T]`."""
        return self.precisions.log().sum(dim=1) - self.deviations.log().sum(dim=1)


def fitted_gaussian(projected: Tensor) -> InputGaussians:
    """The Gaussian of one task's rows `[n, D]`, T being 1.

    Of fewer rows than make a covariance sure, correlations are drawn to zero. Raises `ValueError`
    without a row.
    """
    rows, count = projected.shape
    if not rows:
        raise ValueError("expected rows to fit a Gaussian to, got none")
    exact = projected.to(torch.float64)
    mean = exact.mean(dim=0)
    centred = exact - mean
    covariance = centred.T @ centred / rows
    variance = covariance.diagonal() + _LEAST_VARIANCE
    deviation = variance.sqrt()
    correlation = covariance / deviation / deviation.unsqueeze(1) * (rows / (rows + count))
    correlation.fill_diagonal_(1.0)
    lower = torch.linalg.cholesky(correlation)
    inverse = torch.linalg.solve_triangular(lower, torch.eye(count, dtype=lower.dtype), upper=False)
    precision = inverse.diagonal()
    regression = (inverse / precision.unsqueeze(1)).tril(-1)
    values = (mean, deviation, precision, regression)
    return InputGaussians(*(value.to(torch.float32).unsqueeze(0) for value in values))
