"""A stream without task names into a store: what was discovered, published, and how it answers.

The true tasks are known here, to make the stream and to measure; the learner never hears of them.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from masked_network.backbones import forward
from masked_network.counter_random import random_permutation
from masked_network.supermask import masked_weights
from model_store.store import Store
from model_store.supermask_tensors import packed_supermask
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor, TaskRecord
from training.discovery import (
    Discovery,
    DiscoveryOptions,
    check_discoverable,
    responsibilities,
)
from training.errors import OptionError
from training.fitting import OnStep
from training.image_sets import ImageSet, LabelledImages
from training.provenance import recorded
from training.scenarios import BATCH_SIZE
from training.task_streams import TaskStream

PREFIX = "discovered-"


@dataclass(frozen=True)
class UnnamedStream:
    """Tasks 0 to `tasks - 1` of a stream one after the other, `batches` of each; none says which.

    Labels are shared by all tasks, as the scenario has it.
    """

    image_set: ImageSet
    stream: TaskStream
    tasks: int
    batches: int
    batch_size: int = BATCH_SIZE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.stream.kind == "split":
            raise OptionError(
                "tasks that are discovered share their labels: split ones do not, give --stream "
                "permuted or rotated"
            )
        self.stream.classes(self.image_set, self.tasks - 1)

    def part(self, part: LabelledImages, index: int) -> LabelledImages:
        """One part of the data set as true task `index` sees it."""
        return self.stream.part(self.image_set, part, index)

    def rows(self, index: int) -> Iterator[torch.Tensor]:
        """The rows of the training data that make task `index`'s batches, pass after pass."""
        return itertools.islice(self._endless_rows(index), self.batches)

    def _endless_rows(self, index: int) -> Iterator[torch.Tensor]:
        images = len(self.image_set.train)
        for epoch in itertools.count():
            order = random_permutation(self.seed, f"discover/{index}/{epoch}", images)
            yield from torch.split(torch.from_numpy(order), self.batch_size)


def discover_tasks(
    store: Store,
    unnamed: UnnamedStream,
    options: DiscoveryOptions,
    on_batch: OnStep = lambda: None,
) -> list[Counter[int]]:
    """Learn from the stream, and publish each mask when the stream turns to another.

    How many batches of each true task each mask learned from. A run that is stopped leaves whole
    what was published; its scores are lost, so none goes on: `OptionError` where the store holds
    discovered tasks already, or as `check_discoverable` says.
    """
    _check_store(store, unnamed)
    discovery = Discovery(store.network, options)
    preprocessing = store.network.manifest.preprocessing
    learned_from: list[Counter[int]] = [Counter() for _ in range(unnamed.tasks)]
    current: int | None = None
    for index, counts in enumerate(learned_from):
        images = unnamed.part(unnamed.image_set.train, index)
        train = images.examples(preprocessing, store.network.device)
        for rows in unnamed.rows(index):
            learner = discovery.learn(train.rows(rows))
            if current is not None and current != learner:
                _publish(store, unnamed, discovery, current)
            current = learner
            counts[learner] += 1
            on_batch()
    if current is not None:
        _publish(store, unnamed, discovery, current)
    return learned_from


@dataclass(frozen=True)
class DiscoveredTask:
    """How the discovered masks answer one true task's test images."""

    task_id: str
    """The true task's name."""
    learned_from: dict[str, int]
    """Batches of it that each mask learned from, by the mask's name in the store."""
    named: str
    """The mask that is named for most of its test batches."""
    named_share: float
    """Share of its test batches for which that mask is named."""
    accuracy: float
    """NNs: share of its test images whose class is right, by the mask named for their batch."""


@torch.no_grad()
def measure_discovered(
    store: Store,
    unnamed: UnnamedStream,
    learned_from: Sequence[Mapping[int, int]],
    most_batches: int | None = None,
    on_task: OnStep = lambda: None,
) -> list[DiscoveredTask]:
    """NNs of each true task: the published mask named by a batch's first image answers all of it.

    One-shot by H over all outputs, as in the paper; `most_batches` limits those of each task.
    """
    network = store.network
    names = [f"{PREFIX}{mask}" for mask in range(len(set().union(*learned_from)))]
    masks = network.candidates([store.load(name) for name in names]).supermasks
    classes = len(unnamed.image_set.classes)
    found = []
    for index, counts in enumerate(learned_from):
        test = unnamed.part(unnamed.image_set.test, index)
        order = random_permutation(0, f"discovered/{index}", len(test))
        answered: Counter[int] = Counter()
        right = images = 0
        for rows in torch.split(torch.from_numpy(order), BATCH_SIZE)[:most_batches]:
            batch = test.rows(rows).examples(network.manifest.preprocessing, network.device)
            named = int(responsibilities(network, masks, batch.inputs[:1]).argmax())
            weights = masked_weights(network.weights, masks[named])
            logits = forward(network.backbone, weights, batch.inputs)[:, :classes]
            right += int((logits.argmax(dim=1) == batch.labels).sum())
            images += len(batch)
            answered[named] += 1
        ((most_named, times),) = answered.most_common(1)
        found.append(
            DiscoveredTask(
                task_id=unnamed.stream.task_id(index),
                learned_from={names[mask]: count for mask, count in sorted(counts.items())},
                named=names[most_named],
                named_share=times / answered.total(),
                accuracy=right / images,
            )
        )
        on_task()
    return found


def _check_store(store: Store, unnamed: UnnamedStream) -> None:
    check_discoverable(store.network, len(unnamed.image_set.classes))
    held = [task_id for task_id in store.task_ids() if task_id.startswith(PREFIX)]
    if held:
        raise OptionError(
            f"the store holds {held[0]} already; scores are not kept, so a discovery cannot go "
            "on: give a new store"
        )


def _publish(
    store: Store,
    unnamed: UnnamedStream,
    discovery: Discovery,
    index: int,
) -> None:
    record = TaskRecord(
        classes=unnamed.image_set.classes,
        made_for=MadeFor.of(store.network.manifest, uses_bank=False),
        provenance=recorded({"data": unnamed.image_set.name, **discovery.options.provenance()}),
    )
    artifact = TaskArtifact(record, packed_supermask(discovery.mask(index)))
    store.publish(f"{PREFIX}{index}", artifact)
