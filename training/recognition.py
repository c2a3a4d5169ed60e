"""What evidence and entropy say of rows whose task is known: the raw numbers of all that is asked.

Decides nothing: `masked_network.task_posterior` does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.task_evidence import OwnMoments, TaskEvidence, strangeness
from masked_network.task_inference import entropy_nats
from masked_network.task_posterior import scores
from model_store.evidence_tensor import EVIDENCE, evidence_of
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact

_BATCH = 2048


@dataclass(frozen=True)
class Signals:
    """Of rows in sources (tasks or strangers) `[S, n]` under each of T tasks, `[S, n, T]`."""

    likelihoods: Tensor
    """In nats, as the tasks' evidence has them."""
    entropies: Tensor
    """As shares of the uniform answer's."""
    answers: Tensor
    """The class that each task answers, int64."""

    def over(self, rows: int) -> "Signals":
        """Means over each so many rows, whose answers stay with them: `[S, n // rows, T]`."""
        groups = self.likelihoods.shape[1] // rows
        shape = (len(self.likelihoods), groups, rows, self.likelihoods.shape[2])
        used = slice(groups * rows)
        return Signals(
            self.likelihoods[:, used].reshape(shape).mean(dim=2),
            self.entropies[:, used].reshape(shape).mean(dim=2),
            self.answers[:, used].reshape(shape),
        )

    def scores(self, rows: int) -> Tensor:
        """Log-probabilities but for a constant, of means over so many rows, `[S, groups, T]`."""
        return scores(self.likelihoods, self.entropies, rows)

    def strangeness(self, own: OwnMoments, named: Tensor, rows: int) -> Tensor:
        """Of the rows to the tasks named for them, `[S, groups]` both."""
        every = strangeness(own, self.likelihoods, self.entropies, rows)
        return every.gather(2, named.unsqueeze(2)).squeeze(2)


def evidence_of_tasks(network: FrozenNetwork, tasks: Sequence[TaskArtifact]) -> TaskEvidence:
    """The evidence that all of these bring. Raises `KeyError` where one brings none."""
    packed = torch.stack([task.tensors[EVIDENCE] for task in tasks])
    return evidence_of(packed, network.manifest.preprocessing.row_length)


@torch.no_grad()
def signals(
    network: FrozenNetwork,
    tasks: Sequence[TaskArtifact],
    evidence: TaskEvidence,
    inputs: Tensor,
) -> Signals:
    """Of inputs `[S, n, *input_shape]`; each task is composed once."""
    flat = inputs.flatten(end_dim=1)
    batches = torch.split(flat, _BATCH)
    likelihoods = torch.cat(
        [evidence.gaussians.log_likelihoods(network.projected(one)) for one in batches]
    )
    entropies, answers = [], []
    for task in tasks:
        composed, classes = network.composed(task), len(task.record.classes)
        logits = torch.cat([forward(network.backbone, composed, one) for one in batches])
        logits = logits[:, :classes]
        entropy = entropy_nats(logits) / math.log(classes) if classes > 1 else logits[:, 0] * 0 + 1
        entropies.append(entropy.cpu())
        answers.append(logits.argmax(dim=1).cpu())
    shape = (*inputs.shape[:2], len(tasks))
    return Signals(
        likelihoods.view(shape),
        torch.stack(entropies, dim=1).view(shape),
        torch.stack(answers, dim=1).view(shape),
    )
