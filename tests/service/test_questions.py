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
    [
        ("top", 0),
        ("top", 33),
        ("top", 1.5),
        ("top", "many"),
        ("top", True),
        ("method", "guess"),
        ("per_row", "maybe"),
        ("per_row", 7),
    ],
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


def test_rows_of_different_tasks_are_each_answered_by_their_own(client: TestClient) -> None:
    owners = [3, 0, 7, 3, 5]
    rows = np.concatenate(
        [*(rows_of(number, 1, seed=8) for number in owners), np.zeros((1, 20), np.float32)]
    )
    found = asked(client, rows, per_row=True)
    assert found.keys() == {"rows"}
    *known, empty = found["rows"]
    assert [one["task"] for one in known] == [f"known-{number}" for number in owners]
    for one, row in zip(known, rows, strict=False):
        named = asked(client, row[np.newaxis], task=one["task"])
        assert one["label"] == named["predictions"][0]["label"]
        assert one["probability"] == pytest.approx(named["predictions"][0]["probability"], rel=1e-4)
        assert one["version"] == named["version"]
        assert not one["inference"]["abstained"]
        assert one["inference"]["candidates"][0]["task"] == one["task"]
    assert empty["inference"]["abstained"]
    assert [empty[name] for name in ("task", "version", "label", "probability")] == [None] * 4
    raw = client.post("/v1/predict?per_row=true", content=rows.tobytes(), headers=RAW)
    assert raw.json() == found


def test_rows_of_a_named_task_are_answered_as_ever(client: TestClient) -> None:
    rows = rows_of(1, 2)
    assert asked(client, rows, task="known-1", per_row=True) == asked(client, rows, task="known-1")


def test_each_row_counts_as_a_question_and_for_the_task_that_answered(client: TestClient) -> None:
    def counted() -> tuple[float, float, int]:
        text = client.get("/metrics").text
        named, abstained = (
            float(line.split()[-1])
            for result in ("named", "abstained")
            for line in text.splitlines()
            if line.startswith(f'impress_inference_total{{result="{result}"}}')
        )
        return named, abstained, client.get("/v1/tasks/known-4").json()["rows_predicted"]

    before = counted()
    rows = np.concatenate([rows_of(4, 3), rows_of(6, 1), np.ones((2, 20), np.float32)])
    asked(client, rows, per_row=True)
    after = counted()
    assert tuple(new - old for new, old in zip(after, before, strict=True)) == (4, 2, 3)
