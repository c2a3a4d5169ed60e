"""What every way to search for the task of rows is given, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from masked_network.task_inference import entropies_of_tasks, entropy_nats
from masked_network.task_posterior import WEIGHTS
from service.engine.inference.identification import (
    Candidate,
    Identification,
    Method,
    entropy_margin_nats,
)
from service.engine.inference.kept_lists import Tasks
from service.engine.inference.own_answers import OwnAnswers
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of intensities `[n, row_length]`, and the same as the network's inputs."""

    rows: Rows
    inputs: Tensor
    top: int | None = None
    """At least so many tasks are to be candidates, where the strategy looks at so many."""


class Strategy(Protocol):
    """A way to find out which of tasks, at least one, all rows belong to."""

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        """The tasks that were looked at, best first. Raises `InvalidInput` on what is too much."""


def candidates_of(
    tasks: Sequence[RegisteredTask], asked: Asked, answers: OwnAnswers
) -> list[Candidate]:
    """Tasks with what their own networks answer to the rows, and the entropy of that."""
    logits = answers.of_same_rows(tasks, asked.rows)  # [T, n, outputs]
    classes = torch.tensor([len(task.classes) for task in tasks])
    entropies = entropies_of_tasks(torch.from_numpy(logits), classes).mean(dim=1)
    return list(map(Candidate, tasks, entropies.tolist(), logits))


def answered(task: RegisteredTask, logits: Rows) -> Candidate:
    """The task with logits `[n, outputs]` for its rows."""
    entropy = entropy_nats(torch.from_numpy(logits[:, : len(task.classes)])).mean()
    return Candidate(task, float(entropy), logits)


def by_entropy_alone(method: Method, candidates: Sequence[Candidate]) -> Identification:
    """Of candidates, best first, where nothing but their entropies is known."""
    rows = len(candidates[0].logits)
    entropies = torch.tensor([candidate.relative_entropy for candidate in candidates])
    probabilities = (-WEIGHTS.of_entropy(rows) * entropies).softmax(dim=0)
    margin = entropy_margin_nats(candidates)
    return Identification(method, tuple(candidates), margin, tuple(probabilities.tolist()))
