"""Tasks that know their inputs, for tests: each has evidence of rows about a centre of its own."""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from masked_network.backbones import forward
from masked_network.input_gaussians import fitted_gaussian
from masked_network.task_evidence import measured_evidence
from masked_network.task_inference import entropy_nats
from model_store.evidence_tensor import kept, packed_evidence
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact


def rows_of(number: int, count: int, length: int = 20, seed: int = 1) -> NDArray[np.float32]:
    """Rows of intensities that belong to the task of that number."""
    centre = np.random.default_rng(number).random(length)
    noise = np.random.default_rng([number, seed]).normal(0, 0.1, (count, length))
    return (centre + noise).clip(0, 1).astype(np.float32)


def knowing(network: FrozenNetwork, artifact: TaskArtifact, number: int) -> TaskArtifact:
    """The artifact with evidence of the rows of that number, which it has not learned to tell."""
    own = torch.from_numpy(rows_of(number, 900, network.manifest.preprocessing.row_length, 2))
    inputs = network.manifest.preprocessing.to_inputs(own)
    projected, classes = network.projected(inputs), len(artifact.record.classes)
    logits = forward(network.backbone, network.composed(artifact), inputs[600:])
    entropies = entropy_nats(logits[:, :classes]) / math.log(classes)
    evidence = measured_evidence(kept(fitted_gaussian(projected[:600])), projected[600:], entropies)
    return replace(artifact, tensors={**artifact.tensors, **packed_evidence(evidence)})
