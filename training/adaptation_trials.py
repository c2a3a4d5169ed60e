"""How well networks adapted to a few unlabelled test images answer them, and without adapting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from masked_network.adaptation import AdaptationStart, adapted_coefficients
from masked_network.backbones import forward
from masked_network.composition import compose
from masked_network.counter_random import random_permutation
from masked_network.task_inference import (
    Candidates,
    entropy_nats,
    one_shot_scores,
    relative_entropy,
)
from masked_network.task_statistics import pooled_statistics
from model_store.network import FrozenNetwork
from training.batches import Examples
from training.errors import DataError
from training.evaluation import KnownTask, OnTask

IMAGE_COUNTS = (1, 16, 128)

StartName = Literal[
    "mean of tasks",
    "named by one-shot",
    "named by entropy",
    "the task itself",
    "the others' best",
]

_WAYS: tuple[float | None, ...] = (None, 0.0, 1.0)
"""Not adapted, by entropy alone, and with the answers balanced by this weight."""


@dataclass(frozen=True)
class AdaptationShares:
    """Shares of the trials' images, `images` in each, that are answered rightly from one start."""

    start: StartName
    images: int
    trials: int
    as_it_is: float
    """By the network of the start; of a named task, that is answering after naming it."""
    adapted: float
    """By the network whose coefficients were adapted to the trial's images, without labels."""
    balanced: float
    """The same, with the answers balanced over the classes."""


def adaptation_trials(
    network: FrozenNetwork,
    known: Sequence[KnownTask],
    trials_per_task: int = 5,
    on_task: OnTask = lambda: None,
) -> list[AdaptationShares]:
    """Adapt to test images of every task that has coefficients, from each start.

    The others' best is what entropy names where the task itself is not among the candidates: how a
    store answers for a task that it does not hold. A mean counts every output that some task uses,
    the other starts those of the task they name. Raises `DataError` where no task of two or more
    classes has coefficients.
    """
    tasks = [
        task
        for task in known
        if task.artifact.kind == "coefficients" and len(task.artifact.record.classes) > 1
    ]
    if not tasks:
        raise DataError("no task of two or more classes has coefficients that could be adapted")
    candidates = network.candidates([task.artifact for task in tasks])
    starts = _own_starts(candidates, tasks)
    right: dict[tuple[int, StartName], list[list[int]]] = {}
    for truth, task in enumerate(tasks):
        others = [i for i, other in enumerate(tasks) if not task.same_data(other)]
        for trial in _trials(network, task, trials_per_task):
            for images in IMAGE_COUNTS:
                some = Examples(trial.inputs[:images], trial.labels[:images])
                chosen = _starts(network, candidates, starts, truth, others, some.inputs)
                done: dict[int, list[int]] = {}
                for name, start in chosen.items():
                    # Several names often stand for one task, which is then adapted once.
                    if id(start) not in done:
                        done[id(start)] = [_right(network, start, some, way) for way in _WAYS]
                    right.setdefault((images, name), []).append(done[id(start)])
        on_task()
    return [_shares(images, name, counts) for (images, name), counts in right.items()]


def _own_starts(candidates: Candidates, tasks: Sequence[KnownTask]) -> list[AdaptationStart]:
    return [
        AdaptationStart(
            candidates.coefficients[index],
            len(task.artifact.record.classes),
            {name: every[index] for name, every in candidates.statistics.items()},
        )
        for index, task in enumerate(tasks)
    ]


def _trials(network: FrozenNetwork, task: KnownTask, trials: int) -> list[Examples]:
    images = max(IMAGE_COUNTS)
    test = task.test()
    order = torch.from_numpy(random_permutation(0, f"adaptation/{task.task_id}", len(test)))
    rows = order.repeat(-(-trials * images // len(order)))[: trials * images]
    preprocessing = network.manifest.preprocessing
    return [
        test.rows(some).examples(preprocessing, network.device)
        for some in torch.split(rows, images)
    ]


def _starts(
    network: FrozenNetwork,
    candidates: Candidates,
    own: Sequence[AdaptationStart],
    truth: int,
    others: Sequence[int],
    inputs: Tensor,
) -> dict[StartName, AdaptationStart]:
    classes = max(start.classes for start in own)
    uniform = candidates.coefficients.new_full((len(own),), 1 / len(own))
    mean = AdaptationStart(
        candidates.coefficients.mean(dim=0),
        classes,
        pooled_statistics(candidates.statistics, uniform),
    )
    scores = one_shot_scores(
        network.backbone, network.weights, network.bank, candidates, inputs, classes
    )
    entropies = [
        relative_entropy(
            float(entropy_nats(_logits(network, start, start.coefficients, inputs)).mean()),
            start.classes,
        )
        for start in own
    ]
    starts: dict[StartName, AdaptationStart] = {
        "mean of tasks": mean,
        "named by one-shot": own[int(scores.argmax())],
        "named by entropy": own[min(range(len(own)), key=entropies.__getitem__)],
        "the task itself": own[truth],
    }
    if others:
        starts["the others' best"] = own[min(others, key=entropies.__getitem__)]
    return starts


@torch.no_grad()
def _logits(
    network: FrozenNetwork, start: AdaptationStart, coefficients: Tensor, inputs: Tensor
) -> Tensor:
    composed = compose(network.weights, network.bank, coefficients)
    logits = forward(network.backbone, {**composed, **start.statistics}, inputs)
    return logits[:, : start.classes]


def _right(
    network: FrozenNetwork, start: AdaptationStart, examples: Examples, balance: float | None
) -> int:
    coefficients = start.coefficients
    if balance is not None:
        coefficients = adapted_coefficients(
            network.backbone, network.weights, network.bank, start, examples.inputs, balance
        )
    answers = _logits(network, start, coefficients, examples.inputs).argmax(dim=1)
    return int((answers == examples.labels).sum())


def _shares(images: int, start: StartName, counts: Sequence[Sequence[int]]) -> AdaptationShares:
    total = images * len(counts)
    as_it_is, adapted, balanced = (sum(each) / total for each in zip(*counts, strict=True))
    return AdaptationShares(start, images, len(counts), as_it_is, adapted, balanced)
