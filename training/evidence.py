"""Evidence for a task's artifact, by which the service recognises the task's inputs.

Made of what the task learned from and, of how it knows its own, of its held-out images: never of
test data.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.input_gaussians import fitted_gaussian
from masked_network.task_evidence import measured_evidence
from masked_network.task_inference import entropy_nats
from model_store.evidence_tensor import kept, packed_evidence
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from training.image_sets import ImageSet

_BATCH = 2048
_MOST_HELD_OUT = 2048


@torch.no_grad()
def with_evidence(network: FrozenNetwork, artifact: TaskArtifact, task: ImageSet) -> TaskArtifact:
    """The artifact with evidence, made of the data that it was learned from."""
    preprocessing, device = network.manifest.preprocessing, network.device
    learned_from = torch.cat(
        [
            network.projected(task.train.rows(rows).examples(preprocessing, device).inputs)
            for rows in torch.split(torch.arange(len(task.train)), _BATCH)
        ]
    )
    held_out = task.held_out.rows(torch.arange(min(_MOST_HELD_OUT, len(task.held_out))))
    inputs = held_out.examples(preprocessing, device).inputs
    evidence = measured_evidence(
        kept(fitted_gaussian(learned_from)),
        network.projected(inputs),
        relative_entropies(network, artifact, inputs),
    )
    return replace(artifact, tensors={**artifact.tensors, **packed_evidence(evidence)})


@torch.no_grad()
def relative_entropies(network: FrozenNetwork, artifact: TaskArtifact, inputs: Tensor) -> Tensor:
    """Of the answers of the task's network to inputs `[n, ...]`, `[n]`, in main memory.

    As a share of the uniform answer's. A task of one class is certain of everything: it counts as
    knowing nothing.
    """
    classes = len(artifact.record.classes)
    if classes < 2:
        return torch.ones(len(inputs))
    composed = network.composed(artifact)
    parts = [
        entropy_nats(forward(network.backbone, composed, rows)[:, :classes])
        for rows in torch.split(inputs, _BATCH)
    ]
    return torch.cat(parts).cpu() / math.log(classes)
