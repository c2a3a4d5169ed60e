"""What may be asked of task inference through the routes, of tasks that know their inputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_store.network import FrozenNetwork
from model_store.store import Store
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.service.artifacts import MakeArtifact
from tests.service.engine.known_inputs import knowing, rows_of

TASKS = 8
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def known_store(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, make_artifact: MakeArtifact
) -> Store:
    store = Store.create(tmp_path_factory.mktemp("questions") / "store", network)
    for number in range(TASKS):
        store.publish(f"known-{number}", knowing(network, make_artifact(number), number))
    return store


@pytest.fixture(scope="module")
def client(known_store: Store) -> Iterator[TestClient]:
    settings = Settings(store=Path(str(known_store.files)))
    with TestClient(create_app(settings, Readiness()), raise_server_exceptions=False) as client:
        yield client


def asked(client: TestClient, rows: np.ndarray, **said: Any) -> dict[str, Any]:
    answer = client.post("/v1/predict", json={"inputs": rows.tolist(), **said})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_as_many_tasks_are_told_of_as_are_asked_for_the_most_probable_first(
    client: TestClient,
) -> None:
    for top in (1, 3, TASKS, TASKS + 1):
        inference = asked(client, rows_of(5, 1), top=top)["inference"]
        found = inference["candidates"]
        assert len({one["task"] for one in found}) == min(top, TASKS)
        assert found[0]["task"] == "known-5"
        probabilities = [one["probability"] for one in found]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1 + 1e-6
        assert probabilities[0] == inference["confidence"]
        assert all(one["entropy_nats"] >= 0 for one in found)
    assert sum(probabilities) == pytest.approx(1)


def test_a_query_asks_as_json_does(client: TestClient) -> None:
    rows = rows_of(2, 3)
    expected = asked(client, rows, top=4, method="exhaustive")
    assert len(expected["inference"]["candidates"]) == 4
    assert expected["inference"]["method"] == "exhaustive"
    url = "/v1/predict?top=4&method=exhaustive"
    assert client.post(url, content=rows.tobytes(), headers=RAW).json() == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [("top", 0), ("top", 33), ("top", 1.5), ("top", "many"), ("top", True), ("method", "guess")],
)
def test_a_question_that_cannot_be_answered_is_refused_by_its_name(
    client: TestClient, field: str, value: object
) -> None:
    rows = rows_of(1, 1)
    by_json = client.post("/v1/predict", json={"inputs": rows.tolist(), field: value})
    by_query = client.post(
        "/v1/predict", params={field: str(value)}, content=rows.tobytes(), headers=RAW
    )
    for answer in (by_json, by_query):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(field)
