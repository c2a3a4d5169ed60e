"""Tasks with statistics of their own through the whole application."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from masked_network.backbones import forward
from masked_network.task_inference import entropy_nats, one_shot_scores
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskKind
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.normalised_networks import CLASSES, normalised_artifact, normalised_network

KINDS: dict[str, TaskKind] = {
    "task-0": "coefficients",
    "task-1": "coefficients",
    "task-2": "hybrid",
    "task-3": "supermask",
}


@pytest.fixture(scope="module")
def network() -> FrozenNetwork:
    return normalised_network()


@pytest.fixture
def store(tmp_path: Path, network: FrozenNetwork) -> Store:
    made = Store.create(tmp_path / "store", network)
    for seed, (task_id, kind) in enumerate(KINDS.items()):
        made.publish(task_id, normalised_artifact(network, seed, kind))
    return made


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    yield from serving(store, shortlist=100)


def serving(store: Store, shortlist: int) -> Iterator[TestClient]:
    settings = Settings(
        store=Path(str(store.files)),
        max_body_bytes=1_000_000,
        inference_margin_nats=0,
        inference_shortlist=shortlist,
    )
    with TestClient(create_app(settings, Readiness()), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(3).random((5, 64), dtype=np.float32)


def reference(network: FrozenNetwork, store: Store, task_id: str, rows: np.ndarray) -> torch.Tensor:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    logits = forward(network.backbone, network.composed(store.load(task_id)), inputs)
    return logits[:, : len(CLASSES)]


def logits(client: TestClient, task_id: str, rows: np.ndarray) -> np.ndarray:
    tensor = {"name": "inputs", "shape": list(rows.shape), "datatype": "FP32"}
    body = {"inputs": [tensor | {"data": rows.ravel().tolist()}]}
    answer = client.post(f"/v2/models/{task_id}/infer", json=body)
    assert answer.status_code == 200, answer.text
    outputs: list[dict[str, Any]] = answer.json()["outputs"]
    (found,) = [one for one in outputs if one["name"] == "logits"]
    return np.array(found["data"], dtype=np.float32).reshape(found["shape"])


@pytest.mark.parametrize("task_id", KINDS)
def test_prediction_is_that_of_the_reference(
    client: TestClient, network: FrozenNetwork, store: Store, rows: np.ndarray, task_id: str
) -> None:
    expected = reference(network, store, task_id, rows).numpy()
    np.testing.assert_allclose(logits(client, task_id, rows), expected, rtol=1e-3, atol=1e-4)


def test_a_row_is_answered_alike_whatever_is_asked_with_it(
    client: TestClient, rows: np.ndarray
) -> None:
    together = logits(client, "task-0", rows)
    other = np.concatenate([rows[:1], np.ones_like(rows[1:])])
    for batch in (other, rows[:1]):
        answer = logits(client, "task-0", batch)
        np.testing.assert_allclose(answer[0], together[0], rtol=1e-3, atol=1e-4)


def test_rows_without_a_task_are_answered_by_the_least_true_entropy(
    client: TestClient, network: FrozenNetwork, store: Store, rows: np.ndarray
) -> None:
    entropies = {
        task_id: float(entropy_nats(reference(network, store, task_id, rows)).mean())
        for task_id in KINDS
    }
    answer = client.post("/v1/predict", json={"inputs": rows.tolist()}).json()
    assert answer["task"] == min(entropies, key=lambda task_id: entropies[task_id])


def test_short_list_by_gradient_uses_the_mixture_of_the_tasks_statistics(
    network: FrozenNetwork, store: Store, rows: np.ndarray
) -> None:
    candidates = network.candidates([store.load(task_id) for task_id in KINDS])
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    scores = one_shot_scores(
        network.backbone, network.weights, network.bank, candidates, inputs, len(CLASSES)
    )
    for client in serving(store, shortlist=1):
        answer = client.post("/v1/predict", json={"inputs": rows.tolist()}).json()
        assert answer["task"] == list(KINDS)[int(scores.argmax())]


def test_upload_joins_and_one_without_statistics_changes_nothing(
    client: TestClient, network: FrozenNetwork, store: Store, rows: np.ndarray
) -> None:
    uploaded = normalised_artifact(network, 7)
    answer = client.put("/v1/tasks/task-1", content=uploaded.content)
    assert answer.status_code == 200, answer.text
    expected = reference(network, store, "task-1", rows).numpy()
    np.testing.assert_allclose(logits(client, "task-1", rows), expected, rtol=1e-3, atol=1e-4)
    tensors = {name: tensor for name, tensor in uploaded.tensors.items() if name != "statistics"}
    bare = replace(uploaded, tensors=tensors)
    refused = client.put("/v1/tasks/task-1", content=bare.content)
    assert refused.status_code == 422, refused.text
    assert "missing: 'statistics'" in refused.json()["detail"]
    assert store.load("task-1").content == uploaded.content
