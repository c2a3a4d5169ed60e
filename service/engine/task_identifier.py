"""Names the task of rows that came without one, by entropy minimisation, or says that it cannot."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.backbones import forward
from masked_network.task_inference import (
    Candidates,
    entropy_nats,
    one_shot_scores,
    relative_entropy,
)
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.mixed_forward import mixed_forward
from service.engine.task_table import RegisteredTask

Method = Literal["one-shot", "short-list"]

_MOST_ROWS = 4096
"""Of all candidates together in one pass: a bound on memory."""


@dataclass(frozen=True)
class Candidate:
    """A task whose true entropy on the rows was taken, with the logits `[n, outputs]` it gave."""

    task: RegisteredTask
    entropy_nats: float
    logits: NDArray[np.float32]

    @property
    def relative_entropy(self) -> float:
        """Entropy as a share of the uniform answer's."""
        return relative_entropy(self.entropy_nats, len(self.task.classes))


@dataclass(frozen=True)
class Identification:
    """The candidates in order, best first, and how far the best is ahead."""

    method: Method
    candidates: tuple[Candidate, ...]
    margin_nats: float

    @property
    def best(self) -> Candidate:
        """The task that fits best."""
        return self.candidates[0]


class TaskIdentifier:
    """Blocks while it computes, so it runs on a thread of its own; one call at a time."""

    def __init__(self, network: FrozenNetwork, shortlist: int) -> None:
        self._network = network
        # functional_call is not thread-safe on a shared module, and another thread predicts.
        self._backbone = copy.deepcopy(network.backbone)
        self._mixed = mixed_forward(network)
        self._shortlist = shortlist
        self._stacked_tasks: tuple[RegisteredTask, ...] = ()
        self._stacked: tuple[list[RegisteredTask], Candidates, int] | None = None

    def identify(
        self,
        tasks: tuple[RegisteredTask, ...],
        intensities: NDArray[np.float32],
        method: Method,
    ) -> Identification:
        """Which of `tasks` (at least one) all rows `[n, row_length]` belong to.

        *one-shot* ranks by the gradient of the superposition's entropy by each task's belief
        (SupSup 2006.14769, section 3.3), one forward and backward for any number of tasks.
        *short-list* ranks the best of those again, by the true entropy of each one's own network.
        """
        inputs = self._network.manifest.preprocessing.to_inputs(torch.from_numpy(intensities))
        inputs = inputs.to(self._network.device)
        listed: Sequence[RegisteredTask] = tasks
        if method == "one-shot" or len(tasks) > self._shortlist:
            listed = self._best_by_gradient(tasks, inputs)
        candidates = self._candidates(listed, intensities, inputs)
        if method == "short-list":
            candidates.sort(key=lambda candidate: candidate.relative_entropy)
        return Identification(method, tuple(candidates), _margin_nats(candidates))

    def _best_by_gradient(
        self, tasks: tuple[RegisteredTask, ...], inputs: Tensor
    ) -> list[RegisteredTask]:
        if self._stacked is None or self._stacked_tasks is not tasks:
            self._stacked_tasks, self._stacked = tasks, self._stack(tasks)
        ordered, candidates, most_classes = self._stacked
        scores = one_shot_scores(
            self._backbone,
            self._network.weights,
            self._network.bank,
            candidates,
            inputs,
            most_classes,
        )
        best = scores.topk(min(self._shortlist, len(tasks))).indices.tolist()
        return [ordered[index] for index in best]

    def _stack(
        self, tasks: tuple[RegisteredTask, ...]
    ) -> tuple[list[RegisteredTask], Candidates, int]:
        ordered = sorted(tasks, key=lambda task: KINDS.index(task.kind))
        most_classes = max(len(task.classes) for task in tasks)
        return ordered, self._network.candidates(ordered), most_classes

    def _candidates(
        self, tasks: Sequence[RegisteredTask], intensities: NDArray[np.float32], inputs: Tensor
    ) -> list[Candidate]:
        logits: dict[str, NDArray[np.float32]] = {}
        if self._mixed is not None:
            together = [task for task in tasks if self._mixed.takes(task)]
            at_once = max(1, _MOST_ROWS // len(intensities))
            for start in range(0, len(together), at_once):
                some = together[start : start + at_once]
                answers = self._mixed(some, [intensities] * len(some))
                logits |= zip((task.task_id for task in some), answers, strict=True)
        for task in tasks:
            if task.task_id not in logits:
                logits[task.task_id] = self._composed_logits(task, inputs)
        return [_candidate(task, logits[task.task_id]) for task in tasks]

    @torch.no_grad()
    def _composed_logits(self, task: RegisteredTask, inputs: Tensor) -> NDArray[np.float32]:
        logits: NDArray[np.float32]
        logits = forward(self._backbone, self._network.composed(task), inputs).cpu().numpy()
        return logits


def _candidate(task: RegisteredTask, logits: NDArray[np.float32]) -> Candidate:
    entropy = entropy_nats(torch.from_numpy(logits[:, : len(task.classes)])).mean()
    return Candidate(task, float(entropy), logits)


def _margin_nats(candidates: list[Candidate]) -> float:
    best = candidates[0]
    # Where there is no other task, the runner-up is the uniform answer: knowing nothing.
    runner_up = min((other.relative_entropy for other in candidates[1:]), default=1.0)
    classes = max(2, len(best.task.classes))
    return (runner_up - best.relative_entropy) * log(classes)
