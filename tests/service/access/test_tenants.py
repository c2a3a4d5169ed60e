"""What a tenant sees, infers among and changes: its own tasks, and the shared ones behind them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_store.store import Store
from service.app import Application, create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.damage import damage_content
from tests.service.access.conftest import Headers
from tests.service.artifacts import MakeArtifact

ROWS = np.random.default_rng(3).random((2, 20), dtype=np.float32)
SHARED = ["masked", "task-0", "task-1", "task-2", "task-3"]


@pytest.fixture
def client(asking: Callable[[], TestClient]) -> Iterator[TestClient]:
    with asking() as client:
        yield client


def listed(client: TestClient, headers: Headers, **query: Any) -> list[str]:
    answer = client.get("/v1/tasks", headers=headers, params=query)
    return [one["task"] for one in answer.json()["tasks"]]


def version(client: TestClient, headers: Headers, task: str) -> str:
    return str(client.get(f"/v1/tasks/{task}", headers=headers).json().get("version"))


def test_lists_are_of_ones_own_and_the_shared(client: TestClient, keys: dict[str, Headers]) -> None:
    expected = {
        "predict": SHARED,
        "bare": SHARED,
        "acme": sorted([*SHARED, "private"]),
        "zeta": sorted([*SHARED, "hidden"]),
    }
    for name, tasks in expected.items():
        assert listed(client, keys[name]) == tasks
        index = client.post("/v2/repository/index", headers=keys[name]).json()
        assert [one["name"] for one in index] == tasks
    assert listed(client, keys["acme"], limit=2, cursor="masked") == ["private", "task-0"]


def test_a_tenants_task_hides_the_shared_one_of_its_name_from_it_alone(
    client: TestClient, tenants_store: Store, keys: dict[str, Headers]
) -> None:
    own, shared = (tenants_store.load(name).content_hash for name in ("zeta~task-0", "task-0"))
    assert version(client, keys["zeta"], "task-0") == own
    assert version(client, keys["acme"], "task-0") == shared
    said = {"task": "task-0", "inputs": ROWS.tolist()}
    raw = {"Content-Type": "application/octet-stream"}
    for name, expected in (("zeta", own), ("acme", shared), ("predict", shared)):
        answer = client.post("/v1/predict", headers=keys[name], json=said).json()
        assert (answer["task"], answer["version"]) == ("task-0", expected)
        url = "/v1/predict?task=task-0"
        answer = client.post(url, headers=keys[name] | raw, content=ROWS.tobytes()).json()
        assert (answer["task"], answer["version"]) == ("task-0", expected)


def test_session_is_gathered_by_the_keys_of_one_tenant_alone(
    client: TestClient, keys: dict[str, Headers]
) -> None:
    def rows(key: str) -> int:
        said = {"inputs": ROWS.tolist(), "session": "a stream"}
        answer = client.post("/v1/predict", headers=keys[key], json=said)
        gathered: int = answer.json()["inference"]["rows"]
        return gathered

    assert [rows(key) for key in ("acme", "narrow", "zeta", "predict", "slow")] == [2, 4, 2, 2, 2]
    assert [rows(key) for key in ("zeta", "predict", "acme")] == [4, 4, 6]


def test_no_answer_without_a_task_is_of_another_tenants(
    client: TestClient, keys: dict[str, Headers], tenants_store: Store
) -> None:
    expected = {
        "predict": set(SHARED),
        "acme": {*SHARED, "private"},
        "zeta": {*SHARED, "hidden"},
    }
    for name, tasks in expected.items():
        named = set()
        for seed in range(20):
            rows = np.random.default_rng(seed).random((1, 20), dtype=np.float32)
            answer = client.post(
                "/v1/predict", headers=keys[name], json={"inputs": rows.tolist()}
            ).json()
            named |= {one["task"] for one in answer["inference"]["candidates"]}
        assert named <= tasks
        assert len(named) > 3
        if name != "predict":
            assert named & (tasks - set(SHARED)), "its own take part"


def test_uploads_and_deletes_are_of_ones_own(
    client: TestClient, tenants_store: Store, keys: dict[str, Headers], make_artifact: MakeArtifact
) -> None:
    shared, acmes = (tenants_store.load(name).content for name in ("task-1", "acme~private"))
    content = make_artifact(70).content
    for task in ("task-1", "private"):
        put = client.put(f"/v1/tasks/{task}", headers=keys["zeta"], content=content)
        assert put.status_code == 201
        assert (put.headers["Location"], put.json()["task"]) == (f"/v1/tasks/{task}", task)
    assert client.delete("/v1/tasks/task-1", headers=keys["zeta"]).status_code == 204
    # Its own is gone and the shared one is seen again, which is not its to delete.
    assert version(client, keys["zeta"], "task-1") == tenants_store.load("task-1").content_hash
    gone = client.delete("/v1/tasks/task-1", headers=keys["zeta"])
    assert gone.status_code == 404
    assert "zeta" not in gone.text
    assert tenants_store.load("task-1").content == shared
    assert tenants_store.load("acme~private").content == acmes


def test_what_is_shared_is_published_by_keys_without_a_tenant(
    client: TestClient, keys: dict[str, Headers], make_artifact: MakeArtifact
) -> None:
    content = make_artifact(71).content
    assert client.put("/v1/tasks/new", headers=keys["publish"], content=content).is_success
    for name in ("predict", "acme", "zeta", "bare"):
        assert "new" in listed(client, keys[name])
    assert "private" not in listed(client, keys["publish"])


def test_a_damaged_task_is_not_answered_for_by_a_shared_one_of_its_name(
    tenants_store: Store, keys_file: Path, keys: dict[str, Headers]
) -> None:
    damage_content(Path(str(tenants_store.files)), "zeta~task-0")
    settings = Settings(store=Path(str(tenants_store.files)), keys_file=keys_file)
    with TestClient(create_app(settings, Readiness())) as client:
        said = {"task": "task-0", "inputs": ROWS.tolist()}
        assert client.post("/v1/predict", headers=keys["zeta"], json=said).status_code == 404
        assert client.post("/v1/predict", headers=keys["acme"], json=said).status_code == 200
        assert "task-0" not in listed(client, keys["zeta"])
        index = client.post("/v2/repository/index", headers=keys["zeta"]).json()
        assert [one["state"] for one in index if one["name"] == "task-0"] == ["UNAVAILABLE"]
        index = client.post("/v2/repository/index", headers=keys["acme"]).json()
        assert [one["state"] for one in index if one["name"] == "task-0"] == ["READY"]
        # Whose it is, is not for everyone who can ask a probe.
        ready = client.get("/readyz").json()
        assert ready["damaged"] == 1
        assert "zeta" not in str(ready)


def test_quota_of_rows_and_of_requests_end_in_429_with_retry_after(
    client: TestClient, keys: dict[str, Headers]
) -> None:
    said = {"task": "task-0", "inputs": ROWS.tolist()}
    codes = [
        client.post("/v1/predict", headers=keys["narrow"], json=said).status_code for _ in range(3)
    ]
    assert codes == [200, 429, 429]
    refused = client.post("/v1/predict", headers=keys["narrow"], json=said)
    assert int(refused.headers["Retry-After"]) >= 1
    # Rows are counted where there are any; requests everywhere.
    assert client.get("/v1/tasks", headers=keys["narrow"]).status_code == 200
    codes = [client.get("/v1/tasks", headers=keys["slow"]).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert client.get("/v1/tasks", headers=keys["bare"]).status_code == 200
    metrics = client.get("/metrics", headers=keys["admin"]).text
    assert 'impress_rejected_total{reason="quota"} 5.0' in metrics


def test_raw_rows_count_as_others_do(client: TestClient, keys: dict[str, Headers]) -> None:
    raw = {"Content-Type": "application/octet-stream"} | keys["narrow"]
    url = "/v1/predict?task=private"
    assert client.post(url, headers=raw, content=ROWS.tobytes()).status_code == 200
    assert client.post(url, headers=raw, content=ROWS.tobytes()).status_code == 429


def test_a_tenant_that_has_all_tasks_it_may_can_replace_and_delete_but_not_add(
    client: TestClient, keys: dict[str, Headers], make_artifact: MakeArtifact
) -> None:
    """Zeta begins with two, and the key that asks may publish a third."""

    def put(name: str, seed: int, key: str = "full") -> int:
        content = make_artifact(seed).content
        return client.put(f"/v1/tasks/{name}", headers=keys[key], content=content).status_code

    assert put("third", 21) == 201
    before = listed(client, keys["zeta"])
    content = make_artifact(22).content
    refused = client.put("/v1/tasks/fourth", headers=keys["full"], content=content)
    assert refused.status_code == 403
    assert "fewer than 3 tasks" in refused.json()["detail"]
    assert listed(client, keys["zeta"]) == before
    assert put("third", 23) == 200
    assert put("third", 23) == 200
    assert client.delete("/v1/tasks/hidden", headers=keys["full"]).status_code == 204
    assert put("fourth", 22) == 201
    assert put("fifth", 24) == 403
    # Another key of the tenant goes by its own number; the shared tasks are counted apart.
    assert put("fifth", 24, "zeta") == 201
    assert put("fresh", 25, "full_too") == 403
    assert put("task-1", 25, "full_too") == 200


def test_a_damaged_task_counts_and_can_be_mended_where_there_are_as_many_as_may_be(
    tenants_store: Store,
    keys_file: Path,
    keys: dict[str, Headers],
    make_artifact: MakeArtifact,
) -> None:
    tenants_store.publish("zeta~third", make_artifact(14))
    damage_content(Path(str(tenants_store.files)), "zeta~hidden")
    settings = Settings(store=Path(str(tenants_store.files)), keys_file=keys_file)
    with TestClient(create_app(settings, Readiness())) as client:
        for name, taken in (("fourth", False), ("hidden", True), ("fourth", False)):
            content = make_artifact(22).content
            answer = client.put(f"/v1/tasks/{name}", headers=keys["full"], content=content)
            assert answer.status_code in ((200, 201) if taken else (403,))


def test_without_keys_everyone_shares(tenants_store: Store) -> None:
    app: Application = create_app(
        Settings(store=Path(str(tenants_store.files)), inference_margin_nats=0), Readiness()
    )
    with TestClient(app) as client:
        assert listed(client, {}) == SHARED
        assert client.get("/v1/tasks/acme~private").status_code == 404
        said = {"task": "acme~private", "inputs": ROWS.tolist()}
        assert client.post("/v1/predict", json=said).status_code == 404


def test_tags_choose_among_what_a_tenant_sees_alone(
    client: TestClient,
    keys: dict[str, Headers],
    make_artifact: MakeArtifact,
) -> None:
    content = make_artifact(70).content
    put = client.put("/v1/tasks/dark?tags=night", headers=keys["acme"], content=content)
    assert put.status_code == 201
    for name, expected in (("acme", ["dark"]), ("zeta", []), ("bare", [])):
        assert listed(client, keys[name], tags="night") == expected
        said = {"inputs": ROWS.tolist(), "candidates": {"tags": ["night"]}}
        answer = client.post("/v1/predict", headers=keys[name], json=said)
        assert answer.status_code == (200 if expected else 404)
