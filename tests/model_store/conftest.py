"""Small networks of every kind of bank, and artifacts of every form that fit them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from masked_network.backbones import build_backbone, masked_layers
from masked_network.channel_groups import channel_segments
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.mask_bank import BankKind, bank_of_masks, partition_bank, random_bank
from masked_network.ranked_bank import ranked_bank
from masked_network.supermask import binary_mask, initial_scores
from model_store.coefficient_tensors import quantised
from model_store.manifest import BackboneRecord, BankRecord, Manifest
from model_store.network import FrozenNetwork
from model_store.object_folder import ObjectFolder
from model_store.preprocessing import Preprocessing
from model_store.store import Store
from model_store.supermask_tensors import packed_supermask
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor, TaskRecord
from tests.object_stores import objects_at, s3_server

KINDS: list[BankKind] = ["partition", "random", "heterogeneous", "mixed", "atoms", "ranked"]
GROUPED: list[BankKind] = ["partition", "random", "heterogeneous"]
FORMS = ["fp16", "int8", "int4", "int2", "hybrid", "supermask", "sparse"]


def _network(kind: BankKind, channel_groups: int = 1) -> FrozenNetwork:
    preprocessing = Preprocessing(channels=1, height=3, width=3, mean=0.5, std=0.25)
    # 5 outputs of 100 weights each: 500 bits do not fill their last byte.
    backbone = build_backbone("lenet-300-100", preprocessing.input_shape, 5)
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, 1)
    segments = channel_segments(layers, channel_groups)
    if kind == "partition":
        bank = partition_bank(segments, 10, 2)
    elif kind == "random":
        bank = random_bank(segments, 10, 0.1, 2)
    elif kind == "ranked":
        generator = torch.Generator().manual_seed(3)
        learned = {one.name: torch.randn(one.shape, generator=generator) for one in segments[1:]}
        bank = ranked_bank(segments, 10, 2, "root", learned)
    else:
        generator = torch.Generator().manual_seed(3)
        count = 4 if kind == "atoms" else 10
        masks = [torch.rand(count, one.size, generator=generator) < 0.1 for one in segments]
        bank = bank_of_masks(kind, masks, 0.1)
    manifest = Manifest(
        created=datetime(2025, 1, 2, tzinfo=UTC),
        backbone=BackboneRecord(
            name="lenet-300-100", outputs=5, seed=1, fingerprint=fingerprint(weights)
        ),
        bank=BankRecord(
            kind=kind,
            size=bank.size,
            channel_groups=channel_groups,
            density=bank.density,
            seed=2 if kind in ("partition", "random") else None,
            learned=3 if kind in ("mixed", "ranked") else None,
            fingerprint=bank.fingerprint(),
        ),
        preprocessing=preprocessing,
    )
    return FrozenNetwork(manifest, backbone, layers, weights, bank)


@pytest.fixture(scope="session")
def networks() -> dict[str, FrozenNetwork]:
    grouped: dict[str, FrozenNetwork] = {f"grouped {kind}": _network(kind, 3) for kind in GROUPED}
    return {kind: _network(kind) for kind in KINDS} | grouped


@pytest.fixture(scope="session", params=[*KINDS, "grouped partition", "grouped heterogeneous"])
def each_network(
    request: pytest.FixtureRequest, networks: dict[str, FrozenNetwork]
) -> FrozenNetwork:
    return networks[request.param]


@pytest.fixture(scope="session")
def network(networks: dict[str, FrozenNetwork]) -> FrozenNetwork:
    return networks["partition"]


def _artifact(
    network: FrozenNetwork,
    form: Any = "fp16",
    seed: int = 1,
    made_for: dict[str, str | None] | None = None,
    **record: Any,
) -> TaskArtifact:
    generator = torch.Generator().manual_seed(seed)
    if form in ("supermask", "sparse"):
        density = 0.01 if form == "sparse" else 0.3
        scores = initial_scores(network.layers, generator)
        tensors = packed_supermask(
            {name: binary_mask(one, density) for name, one in scores.items()}
        )
    else:
        used = network.used_by("hybrid" if form == "hybrid" else "coefficients")
        coefficients = torch.randn(used.shape, generator=generator)
        tensors = quantised(coefficients, used, "int8" if form == "hybrid" else form)
    if form == "hybrid":
        scores = initial_scores(network.layers[-1:], generator)
        tensors |= packed_supermask({name: binary_mask(one, 0.5) for name, one in scores.items()})
    here = MadeFor.of(network.manifest, uses_bank="coefficients" in tensors)
    fields: dict[str, Any] = {
        "classes": ("shirt", "côte"),
        "made_for": here.model_dump() | (made_for or {}),
        "held_out": (3, 10),
        "provenance": {"stream": "é\n", "epochs": 3, "rate": 1e-5, "Seed": seed},
    }
    return TaskArtifact(TaskRecord(**(fields | record)), tensors)


@pytest.fixture(scope="session")
def make_artifact() -> Callable[..., TaskArtifact]:
    return _artifact


@pytest.fixture(scope="session", params=FORMS)
def each_artifact(request: pytest.FixtureRequest, network: FrozenNetwork) -> TaskArtifact:
    return _artifact(network, request.param)


@pytest.fixture
def store(tmp_path: Path, network: FrozenNetwork) -> Store:
    return Store.create(tmp_path / "store", network)


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def new_objects(s3_endpoint: str) -> Callable[[], ObjectFolder]:
    """Makes an empty folder in an object store, another one each time."""
    prefixes = count()
    return lambda: objects_at(s3_endpoint, f"store-{next(prefixes)}")
