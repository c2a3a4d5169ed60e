"""How a task knows its own inputs: their Gaussian, and how sure its network is of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.input_gaussians import InputGaussians

_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
class OwnMoments:
    """How T tasks' own rows are to them, of rows that they did not learn from, `[T]` each.

    `likelihood_mean` and `likelihood_deviation` are over single rows, of the log-likelihood in
    nats that their Gaussians give; `entropy_mean` and `entropy_deviation` of the entropy of the
    task's answers, as a share of the uniform answer's.
    """

    likelihood_mean: Tensor
    likelihood_deviation: Tensor
    entropy_mean: Tensor
    entropy_deviation: Tensor

    def of(self, tasks: Tensor) -> "OwnMoments":
        """Those of the tasks of these indices, in their order."""
        return OwnMoments(
            self.likelihood_mean[tasks],
            self.likelihood_deviation[tasks],
            self.entropy_mean[tasks],
            self.entropy_deviation[tasks],
        )


@dataclass(frozen=True)
class TaskEvidence:
    """Evidence of T tasks: what their inputs look like, and how their own rows are to them."""

    gaussians: InputGaussians
    own: OwnMoments

    def __len__(self) -> int:
        return len(self.gaussians)


def measured_evidence(
    gaussian: InputGaussians, held_out: Tensor, entropies: Tensor
) -> TaskEvidence:
    """One task's, from its Gaussian as it is kept and projections `[m, D]` of held-out rows.

    `entropies` `[m]` are relative, of these rows under the task's own network. Raises `ValueError`
    without a row, or on another number of entropies.
    """
    if not len(held_out) or len(held_out) != len(entropies):
        raise ValueError(f"expected as many entropies as {len(held_out)} rows, 1 or more")
    likelihoods = gaussian.log_likelihoods(held_out)[:, 0]
    return TaskEvidence(gaussian, OwnMoments(*_moments(likelihoods), *_moments(entropies)))


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    deviation = values.std(correction=0).clamp_min(_LEAST_DEVIATION)
    return values.mean().view(1), deviation.view(1)


def strangeness(own: OwnMoments, likelihoods: Tensor, entropies: Tensor, rows: int) -> Tensor:
    """How far rows are from what each task knows as its own, in standard deviations, `[T]`.

    `likelihoods` and relative `entropies` `[T]` are means over so many rows. Inputs that are too
    likely, such as empty images, are strange too; answers that are too sure are not.
    """
    root = rows**0.5
    unlikely = (likelihoods - own.likelihood_mean) / own.likelihood_deviation * root
    unsure = (entropies - own.entropy_mean) / own.entropy_deviation * root
    return torch.hypot(unlikely, unsure.clamp_min(0.0))
