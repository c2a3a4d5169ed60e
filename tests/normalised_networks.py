"""A frozen small ResNet-18, which normalises, and tasks for it, made without learning."""

from datetime import UTC, datetime

import torch

from masked_network.backbones import build_backbone, masked_layers
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.mask_bank import partition_bank
from masked_network.supermask import binary_mask, initial_scores
from model_store.coefficient_tensors import quantised
from model_store.manifest import BackboneRecord, BankRecord, Manifest
from model_store.network import FrozenNetwork
from model_store.preprocessing import Preprocessing
from model_store.statistics_tensor import packed_statistics
from model_store.supermask_tensors import packed_supermask
from model_store.task_artifact import TaskArtifact, TaskKind
from model_store.task_record import MadeFor, TaskRecord

CLASSES = ("ant", "bee", "cat", "dog")


def normalised_network() -> FrozenNetwork:
    """For grey images of 8 x 8 pixels, five outputs, a partition of 16."""
    preprocessing = Preprocessing(channels=1, height=8, width=8, mean=0.5, std=0.25)
    backbone = build_backbone("resnet-18-small", preprocessing.input_shape, 5)
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, 1)
    bank = partition_bank(layers, 16, 2)
    manifest = Manifest(
        created=datetime(2026, 1, 1, tzinfo=UTC),
        backbone=BackboneRecord(
            name="resnet-18-small", outputs=5, seed=1, fingerprint=fingerprint(weights)
        ),
        bank=BankRecord(
            kind="partition", size=16, density=1 / 16, seed=2, fingerprint=bank.fingerprint()
        ),
        preprocessing=preprocessing,
    )
    return FrozenNetwork(manifest, backbone, layers, weights, bank)


def normalised_artifact(
    network: FrozenNetwork, seed: int, kind: TaskKind = "coefficients"
) -> TaskArtifact:
    """Random coefficients, a random dedicated supermask or both, and random statistics."""
    generator = torch.Generator().manual_seed(seed)
    statistics = {}
    for layer in network.statistics:
        statistics[layer.mean] = torch.randn(layer.channels, generator=generator) / 4
        statistics[layer.variance] = torch.rand(layer.channels, generator=generator) + 0.5
    manifest = network.manifest
    record = TaskRecord(
        classes=CLASSES,
        made_for=MadeFor.of(manifest, uses_bank=kind != "supermask"),
    )
    own = {}
    if kind != "supermask":
        used = network.used_by(kind)
        own = quantised(torch.randn(used.shape, generator=generator), used, "fp16")
    scores = initial_scores(network.masked_by(kind), generator)
    own |= packed_supermask({name: binary_mask(score, 0.5) for name, score in scores.items()})
    return TaskArtifact(record, {**own, **packed_statistics(statistics, network.statistics)})
