"""The model repository extension, through the whole application on a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model_store.store import Store
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.damage import damage_content
from tests.service.artifacts import MakeArtifact

INDEX = "/v2/repository/index"
TASKS = ["masked", "task-0", "task-1", "task-2", "task-3"]


def serving(store: Store) -> TestClient:
    # Looked at so seldom that what is seen of it was asked for.
    settings = Settings(store=Path(str(store.files)), reconcile_seconds=3600)
    return TestClient(create_app(settings, Readiness()), raise_server_exceptions=False)


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with serving(store) as client:
        yield client


def test_index_has_every_task_with_the_version_that_answers(
    client: TestClient, store: Store
) -> None:
    listed = client.post(INDEX).json()
    assert [model["name"] for model in listed] == TASKS
    for model in listed:
        assert model["version"] == store.load(model["name"]).content_hash
        assert (model["state"], model["reason"]) == ("READY", "")
    assert client.post(INDEX, json={"ready": True}).json() == listed


def test_index_says_which_task_cannot_serve_and_why(store: Store) -> None:
    damage_content(Path(str(store.files)), "task-2")
    with serving(store) as client:
        (broken,) = [one for one in client.post(INDEX).json() if one["state"] != "READY"]
        assert broken["name"] == "task-2"
        assert broken["state"] == "UNAVAILABLE"
        assert broken["reason"]
        ready = client.post(INDEX, json={"ready": True}).json()
        assert [model["name"] for model in ready] == [task for task in TASKS if task != "task-2"]
        answer = client.post("/v2/repository/models/task-2/load")
        assert answer.status_code == 404
        assert "cannot serve" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": 7}', b'{"redy": true}'])
def test_bad_body_of_the_index_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post(INDEX, content=body).status_code in (400, 422)


def test_load_makes_live_what_another_published(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    Store.open(Path(str(store.files))).publish("new", make_artifact(7))
    assert client.get("/v2/models/new").status_code == 404
    assert client.post("/v2/repository/models/new/load", json={}).status_code == 200
    assert client.get("/v2/models/new/ready").status_code == 200
    assert "new" in [model["name"] for model in client.post(INDEX).json()]


def test_load_takes_no_files_and_knows_no_task_that_the_store_has_not(client: TestClient) -> None:
    body = {"parameters": {"config": "{}"}}
    assert client.post("/v2/repository/models/task-0/load", json=body).status_code == 422
    assert client.post("/v2/repository/models/none/load").status_code == 404


def test_unload_is_refused_and_changes_nothing(client: TestClient) -> None:
    body = {"parameters": {"unload_dependents": False}}
    answer = client.post("/v2/repository/models/task-0/unload", json=body)
    assert answer.status_code == 409
    assert "DELETE /v1/tasks/" in answer.json()["error"]
    assert client.get("/v2/models/task-0/ready").status_code == 200
    assert client.post("/v2/repository/models/none/unload").status_code == 404
