"""What was learned for a task, as an artifact whose held-out accuracy is its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from masked_network.task_statistics import estimated_statistics
from model_store.coefficient_tensors import COEFFICIENTS
from model_store.compatibility import check_artifact
from model_store.network import FrozenNetwork
from model_store.statistics_tensor import packed_statistics
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor, TaskRecord
from training.batches import Examples
from training.fitting import OnEpoch, OnStep, right_answers, unheard
from training.image_sets import ImageSet
from training.provenance import Provenance, recorded


class Recipe(Protocol):
    """A way to learn a task's artifact, fixed in every setting."""

    @property
    def from_earlier_tasks(self) -> bool:
        """Whether learning starts from what other tasks have learned."""

    def provenance(self) -> Provenance:
        """The settings, for the artifact's record."""

    def steps(self, examples: int) -> int:
        """Optimiser steps for this many training examples."""

    def learn(
        self,
        network: FrozenNetwork,
        task: ImageSet,
        data_provenance: Provenance,
        on_step: OnStep = lambda: None,
        earlier: Sequence[TaskArtifact] = (),
        on_epoch: OnEpoch = unheard,
    ) -> TaskArtifact:
        """The task's artifact; nothing of the network changes.

        `earlier` are the tasks to start from where `from_earlier_tasks` asks for them. Raises
        `InvalidArtifact` where learning diverged.
        """


def task_artifact(
    network: FrozenNetwork,
    task: ImageSet,
    held_out: Examples,
    tensors: Mapping[str, Tensor],
    provenance: Provenance,
) -> TaskArtifact:
    """The artifact of a task, with the held-out accuracy that its stored values reach.

    `tensors` are its coefficients or supermask as they are stored; where the backbone normalises,
    the statistics of the training data under exactly those join them. Raises `InvalidArtifact`
    where they cannot serve, as after learning has diverged.
    """
    record = TaskRecord(
        classes=task.classes,
        made_for=MadeFor.of(network.manifest, uses_bank=COEFFICIENTS in tensors),
        provenance=recorded(provenance),
    )
    artifact = TaskArtifact(record, {**tensors, **_statistics(network, task, record, tensors)})
    check_artifact(network, artifact)
    right = _right_answers(network, artifact, held_out)
    counted = record.model_copy(update={"held_out": (right, len(held_out))})
    return replace(artifact, record=counted)


def _statistics(
    network: FrozenNetwork, task: ImageSet, record: TaskRecord, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    if not network.statistics:
        return {}
    weights = network.composed_weights(TaskArtifact(record, tensors))
    inputs = task.train.examples(network.manifest.preprocessing, network.device).inputs
    estimated = estimated_statistics(network.backbone, weights, inputs)
    return packed_statistics(estimated, network.statistics)


def artifact_accuracy(network: FrozenNetwork, artifact: TaskArtifact, examples: Examples) -> float:
    """Share of the examples that the task's network, composed from the artifact, gets right."""
    return _right_answers(network, artifact, examples) / len(examples)


def _right_answers(network: FrozenNetwork, artifact: TaskArtifact, examples: Examples) -> int:
    with torch.no_grad():
        composed = network.composed(artifact)
        return right_answers(network.backbone, composed, examples, len(artifact.record.classes))
