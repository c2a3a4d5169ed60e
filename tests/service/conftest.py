"""Small real stores and a real Redis."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from prometheus_client import CollectorRegistry

from masked_network.backbones import build_backbone, masked_layers
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.mask_bank import partition_bank
from masked_network.supermask import binary_mask, initial_scores
from model_store.coefficient_tensors import quantised
from model_store.manifest import BackboneRecord, BankRecord, Manifest
from model_store.network import FrozenNetwork
from model_store.preprocessing import Preprocessing
from model_store.store import Store
from model_store.supermask_tensors import packed_supermask
from model_store.task_artifact import TaskArtifact, TaskKind
from model_store.task_record import MadeFor, TaskRecord
from service.watching.telemetry import Telemetry
from tests.real_parts import RedisServer
from tests.service.artifacts import MakeArtifact

CLASSES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(CollectorRegistry())


@pytest.fixture(scope="session")
def network() -> FrozenNetwork:
    preprocessing = Preprocessing(channels=1, height=4, width=5, mean=0.25, std=0.5)
    backbone = build_backbone("lenet-300-100", preprocessing.input_shape, 6)
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, 11)
    bank = partition_bank(layers, 32, 12)
    manifest = Manifest(
        created=datetime(2026, 1, 1, tzinfo=UTC),
        backbone=BackboneRecord(
            name="lenet-300-100", outputs=6, seed=11, fingerprint=fingerprint(weights)
        ),
        bank=BankRecord(
            kind="partition", size=32, density=1 / 32, seed=12, fingerprint=bank.fingerprint()
        ),
        preprocessing=preprocessing,
    )
    return FrozenNetwork(manifest, backbone, layers, weights, bank)


@pytest.fixture(scope="session")
def make_artifact(network: FrozenNetwork) -> MakeArtifact:
    """Makes an artifact from a seed: random coefficients, a random dedicated supermask, or both."""

    def make(
        seed: int, kind: TaskKind = "coefficients", classes: tuple[str, ...] = CLASSES
    ) -> TaskArtifact:
        generator = torch.Generator().manual_seed(seed)
        manifest = network.manifest
        record = TaskRecord(
            classes=classes,
            made_for=MadeFor.of(manifest, uses_bank=kind != "supermask"),
            provenance={"seed": seed},
        )
        tensors = {}
        if kind != "supermask":
            used = network.used_by(kind)
            tensors = quantised(torch.randn(used.shape, generator=generator), used, "fp16")
        scores = initial_scores(network.masked_by(kind), generator)
        masks = {name: binary_mask(score, 0.5) for name, score in scores.items()}
        return TaskArtifact(record, tensors | packed_supermask(masks))

    return make


@pytest.fixture
def store(tmp_path: Path, network: FrozenNetwork, make_artifact: MakeArtifact) -> Store:
    """A store of its own with task-0 to task-3 by coefficients and `masked` by a supermask."""
    made = Store.create(tmp_path / "store", network)
    for index in range(4):
        made.publish(f"task-{index}", make_artifact(index))
    made.publish("masked", make_artifact(99, kind="supermask"))
    return made


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """`REDIS_URL` where it is set, else a server of the test's own."""
    if given := os.environ.get("REDIS_URL"):
        return given
    server: RedisServer = request.getfixturevalue("own_redis")
    return server.url
