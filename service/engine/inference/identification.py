"""What task inference found out: which task, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from masked_network.task_inference import relative_entropy
from service.engine.registry.task_table import RegisteredTask

Method = Literal["auto", "one-shot", "one-shot-g", "binary", "short-list", "exhaustive", "adapt"]
METHODS: tuple[Method, ...] = get_args(Method)


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
    probabilities: tuple[float, ...]
    """How probable each of them is among all tasks, by `task_posterior`."""
    strangeness: float | None = None
    """How far the rows are from what the best one knows as its own, in standard deviations; None
    where that was not asked, or it brings no evidence."""

    @property
    def best(self) -> Candidate:
        """The task that fits best."""
        return self.candidates[0]

    @property
    def rows(self) -> int:
        """How many it rests on: those of the request, and those of its session before it."""
        return len(self.best.logits)

    @property
    def confidence(self) -> float:
        """How probable the best one is."""
        return self.probabilities[0]


def entropy_margin_nats(candidates: Sequence[Candidate]) -> float:
    """How much more the runner-up's entropy is than the first one's, in nats of its classes."""
    best = candidates[0]
    # Where there is no other task, the runner-up is the uniform answer: knowing nothing.
    runner_up = min((other.relative_entropy for other in candidates[1:]), default=1.0)
    classes = max(2, len(best.task.classes))
    return (runner_up - best.relative_entropy) * log(classes)


def named_methods(said: str) -> tuple[Method, ...]:
    """The methods that a comma-separated list names, each once. Raises `ValueError`."""
    named = {one.strip() for one in said.split(",")}
    if "auto" not in named or not named <= set(METHODS):
        raise ValueError(f"expected auto and any of {', '.join(METHODS)}, got {said!r}")
    return tuple(method for method in METHODS if method in named)
