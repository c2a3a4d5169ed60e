"""From evidence and entropy to how probable each task is, and how sure one may be of the answer.

This project's own. The weights were chosen on held-out rows, never on test data.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True)
class PosteriorWeights:
    """What a nat of likelihood and a share of uncertainty are worth, of one row and of n.

    n rows are worth `n^(1 - discount)` of one: they are not independent of what makes both
    estimates wrong.
    """

    likelihood: float = 0.38
    likelihood_discount: float = 0.16
    entropy: float = 4.9
    entropy_discount: float = 0.42

    def of_likelihood(self, rows: int) -> float:
        """What a nat of the mean log-likelihood of so many rows adds to a task's score."""
        worth: float = self.likelihood * rows ** (1 - self.likelihood_discount)
        return worth

    def of_entropy(self, rows: int) -> float:
        """What the whole of the mean relative entropy of so many rows takes off."""
        worth: float = self.entropy * rows ** (1 - self.entropy_discount)
        return worth


WEIGHTS = PosteriorWeights()


def scores(
    likelihoods: Tensor, entropies: Tensor, rows: int, weights: PosteriorWeights = WEIGHTS
) -> Tensor:
    """Unnormalised log-probabilities `[..., T]` from means over the rows, both `[..., T]`.

    `likelihoods` in nats, of each row; `entropies` as shares of the uniform answer's.
    """
    return likelihoods * weights.of_likelihood(rows) - entropies * weights.of_entropy(rows)


def within_reach(likelihoods: Tensor, rows: int, weights: PosteriorWeights = WEIGHTS) -> Tensor:
    """Which tasks may still be the most probable one, whatever the entropies are: bool `[..., T]`.

    No entropy needs to be taken of the others.
    """
    score = likelihoods * weights.of_likelihood(rows)
    return score >= score.amax(dim=-1, keepdim=True) - weights.of_entropy(rows)


def likelihood_without_evidence(mean: Number, deviation: Number, rows: int) -> Number:
    """What to take for the likelihood of a task that brings no evidence, in nats of a row.

    As if it barely knew the rows: two deviations below what the task whose evidence fits best has
    on its own. So it gives way to one that knows them and wins against those that do not.
    """
    return mean - 2 * deviation / math.sqrt(rows)


def confidence_error(confidences: Tensor, right: Tensor, bins: int = 10) -> float:
    """Expected calibration error (1706.04599): mean distance of confidence and share right, `[n]`.

    Over bins of equal width, each weighed by how many fall into it.
    """
    place = (confidences * bins).long().clamp(0, bins - 1)
    counts = torch.zeros(bins).index_add_(0, place, torch.ones_like(confidences))
    differences = torch.zeros(bins).index_add_(0, place, confidences - right.to(confidences.dtype))
    return float(differences.abs().sum() / counts.sum())


_REFUSED_ANYHOW = 0.01


def strangeness_limit(own: Tensor, unknown: Tensor, false_acceptance: float) -> float:
    """The largest strangeness to accept so that no more than that share of unknown rows pass.

    And never more than all but 1 % of a task's `own` rows `[m]` have, however few unknown ones that
    lets pass: what is not known yet may be less strange than what was tried.

    `unknown` `[n]` is how strange rows of no registered task were to the task named for them.
    Raises `ValueError` on a rate outside `[0, 1)`, or without any.
    """
    if not 0 <= false_acceptance < 1 or not len(unknown):
        raise ValueError(
            f"expected a rate in [0, 1) and unknown rows, got {false_acceptance} and {len(unknown)}"
        )
    ordered = unknown.sort().values
    most = float(own.quantile(1 - _REFUSED_ANYHOW))
    limit = float(torch.nextafter(ordered[int(false_acceptance * len(ordered))], torch.tensor(0.0)))
    return min(limit, most)
