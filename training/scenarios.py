"""Accuracy where a task's identity is given and where it is not: SupSup's scenarios (2006.14769).

Measures tasks that were learned with their identity; `discovery` learns without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from masked_network.backbones import forward
from masked_network.counter_random import random_permutation
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from training.batches import Examples
from training.evaluation import KnownTask, OnTask
from training.inference_trials import IMAGE_COUNTS
from training.task_namers import name_tasks

BATCH_SIZE = 128
"""Test images that are answered by the task that one inference names, as in the paper."""


@dataclass(frozen=True)
class UnknownIdentity:
    """What a method reaches that names a batch's task by its first `images` images."""

    method: str
    images: int
    batches: int
    task_named: float
    """Share of the batches whose task is named."""
    labels_shared: float
    """GNs: share of the images whose class is right, whichever task answered."""
    labels_not_shared: float
    """GNu: share of the images whose task and class are both right."""


@dataclass(frozen=True)
class Scenarios:
    """All measured of one set of tasks; accuracies are over the same test images."""

    tasks: int
    outputs: int
    images: int
    """Test images, of all tasks together."""
    identity_given: float
    """GG: share of the images whose class is right by their own task's network."""
    unknown: tuple[UnknownIdentity, ...]

    def row(self, method: str, images: int = 1) -> UnknownIdentity:
        """The row of a method; from one image, as in the paper. Raises `KeyError`."""
        for found in self.unknown:
            if (found.method, found.images) == (method, images):
                return found
        raise KeyError(f"{method} from {images} images was not measured")


@dataclass
class _Tally:
    batches: int = 0
    named: int = 0
    shared: int = 0
    not_shared: int = 0


@dataclass
class _Measured:
    """What is added up over the tasks."""

    images: int = 0
    given: int = 0
    tallies: dict[tuple[str, int], _Tally] = field(default_factory=dict)


def measure_scenarios(
    network: FrozenNetwork,
    known: Sequence[KnownTask],
    image_counts: Sequence[int] = IMAGE_COUNTS,
    most_batches: int | None = None,
    on_task: OnTask = lambda: None,
) -> Scenarios:
    """GG, GNs and GNu of the known tasks, on their test images in batches of `BATCH_SIZE`.

    A batch's task is inferred once, by its first image or the first of each of `image_counts`, and
    the task so named answers the whole batch (SupSup 2006.14769, section 4). H and the entropy are
    over all outputs, as in the paper; G is measured where no task has as many classes. A task made
    from the same data counts as right; two classes are the same where their names are.
    `most_batches` limits those of each task.
    """
    # Candidates come in the order of their kinds, as does all that is indexed by task here.
    ordered = sorted(known, key=lambda task: KINDS.index(task.artifact.kind))
    most = max(image_counts)
    # Copies, lest they keep every task's test images in memory.
    probes = [
        [batch.inputs[:most].clone() for batch in _batches(network, task, most_batches)]
        for task in ordered
    ]
    named = name_tasks(network, [task.artifact for task in ordered], probes, image_counts, on_task)
    measured = _Measured()
    for truth, task in enumerate(ordered):
        answers = {key: by_task[truth] for key, by_task in named.items()}
        _add_up(measured, network, ordered, truth, _batches(network, task, most_batches), answers)
    return Scenarios(
        tasks=len(ordered),
        outputs=network.manifest.backbone.outputs,
        images=measured.images,
        identity_given=measured.given / measured.images,
        unknown=tuple(
            UnknownIdentity(
                method=method,
                images=images,
                batches=tally.batches,
                task_named=tally.named / tally.batches,
                labels_shared=tally.shared / measured.images,
                labels_not_shared=tally.not_shared / measured.images,
            )
            for (method, images), tally in measured.tallies.items()
        ),
    )


def _batches(network: FrozenNetwork, task: KnownTask, most_batches: int | None) -> list[Examples]:
    test = task.test()
    order = torch.from_numpy(random_permutation(0, f"trials/{task.task_id}", len(test)))
    return [
        test.rows(rows).examples(network.manifest.preprocessing, network.device)
        for rows in torch.split(order, BATCH_SIZE)[:most_batches]
    ]


def _add_up(
    measured: _Measured,
    network: FrozenNetwork,
    ordered: Sequence[KnownTask],
    truth: int,
    batches: Sequence[Examples],
    named: Mapping[tuple[str, int], Sequence[int]],
) -> None:
    asked = {(truth, batch) for batch in range(len(batches))}
    for answers in named.values():
        asked |= {(candidate, batch) for batch, candidate in enumerate(answers)}
    right = _right_classes(network, ordered, truth, batches, asked)
    measured.images += sum(len(batch) for batch in batches)
    measured.given += sum(right[truth, batch] for batch in range(len(batches)))
    for key, answers in named.items():
        tally = measured.tallies.setdefault(key, _Tally())
        for batch, candidate in enumerate(answers):
            is_right = ordered[candidate].same_data(ordered[truth])
            tally.batches += 1
            tally.named += is_right
            tally.shared += right[candidate, batch]
            tally.not_shared += is_right * right[candidate, batch]


@torch.no_grad()
def _right_classes(
    network: FrozenNetwork,
    ordered: Sequence[KnownTask],
    truth: int,
    batches: Sequence[Examples],
    asked: set[tuple[int, int]],
) -> dict[tuple[int, int], int]:
    """How many images of each batch each candidate puts into a class of the right name."""
    names = ordered[truth].artifact.record.classes
    right = {}
    for candidate in sorted({candidate for candidate, _ in asked}):
        artifact = ordered[candidate].artifact
        classes = artifact.record.classes
        alike = [[mine == name for name in names] for mine in classes]
        same = torch.tensor(alike).to(network.device)
        composed = network.composed(artifact)
        for batch, examples in enumerate(batches):
            if (candidate, batch) in asked:
                logits = forward(network.backbone, composed, examples.inputs)[:, : len(classes)]
                right[candidate, batch] = int(same[logits.argmax(dim=1), examples.labels].sum())
    return right
