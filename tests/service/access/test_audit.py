"""Each change that somebody asked for is written down: by whom, of what, and what came of it."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from model_store.store import Store
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from service.watching.logs import AUDIT_LOG, audit_handler
from tests.service.access.conftest import Headers
from tests.service.artifacts import MakeArtifact


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the audit's file says until now."""
    path = tmp_path / "audit.log"
    handler, logger = audit_handler(path), logging.getLogger(AUDIT_LOG)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    logger.removeHandler(handler)
    handler.close()


def test_changes_are_written_with_key_tenant_task_hashes_and_result(
    asking: Callable[[], TestClient],
    keys: dict[str, Headers],
    lines: Callable[[], list[dict[str, Any]]],
    tenants_store: Store,
    make_artifact: MakeArtifact,
) -> None:
    first, second = make_artifact(80), make_artifact(81)
    with asking() as client:

        def change(name: str, method: str, content: bytes = b"", task: str = "new") -> None:
            headers = keys[name] | {"X-Request-ID": f"r{len(lines())}"}
            client.request(method, f"/v1/tasks/{task}", headers=headers, content=content)

        lines()
        change("acme", "PUT", first.content)
        change("acme", "PUT", second.content)
        change("acme", "PUT", b"no artifact")
        change("acme", "DELETE")
        change("acme", "DELETE", task="task-0")
        change("predict", "PUT", first.content)
        client.put("/v1/tasks/new", content=first.content)
        client.get("/v1/tasks/new", headers=keys["acme"])
    said = lines()
    assert [one["event"] for one in said] == ["change of a task"] * 6
    assert [one["request_id"] for one in said] == [f"r{index}" for index in range(6)]
    assert [one["method"] for one in said] == ["PUT", "PUT", "PUT", "DELETE", "DELETE", "PUT"]
    assert [one["status"] for one in said] == [201, 200, 400, 204, 404, 403]
    assert [one["result"] for one in said] == ["done", "done", "refused", "done", *["refused"] * 2]
    assert [one["key"] for one in said] == ["acme"] * 5 + ["predict"]
    assert [one.get("tenant") for one in said] == ["acme"] * 5 + [None]
    hashes = [first.content_hash, second.content_hash]
    assert [one.get("version") for one in said] == [*hashes, *[None] * 4]
    assert [one.get("before") for one in said] == [None, *hashes, hashes[1], None, None]
    assert {one["route"] for one in said} == {"/v1/tasks/{task}"}
    assert {one["address"] for one in said} == {"testclient"}
    assert all(one["timestamp"].endswith("Z") for one in said)


def test_without_keys_the_address_says_who(
    store: Store, make_artifact: MakeArtifact, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    settings = Settings(store=Path(str(store.files)))
    content = make_artifact(82).content
    with TestClient(create_app(settings, Readiness())) as client:
        client.put("/v1/tasks/new", content=content)
    (said,) = lines()
    assert (said["task"], said["address"], said["result"]) == ("new", "testclient", "done")
    assert "key" not in said


def test_file_that_was_moved_away_is_begun_again(
    store: Store,
    make_artifact: MakeArtifact,
    lines: Callable[[], list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    settings = Settings(store=Path(str(store.files)))
    with TestClient(create_app(settings, Readiness())) as client:
        client.put("/v1/tasks/new", content=make_artifact(83).content)
        (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
        client.delete("/v1/tasks/new")
    assert [one["method"] for one in lines()] == ["DELETE"]


def test_version_that_is_deleted_is_named(
    asking: Callable[[], TestClient],
    keys: dict[str, Headers],
    lines: Callable[[], list[dict[str, Any]]],
    make_artifact: MakeArtifact,
) -> None:
    first, second = make_artifact(84), make_artifact(85)
    url = "/v1/tasks/new"
    with asking() as client:
        for content in (first.content, second.content):
            client.put(url, headers=keys["acme"], content=content)
        old = f"{url}/versions/{first.content_hash}"
        target = {"version": first.content_hash}
        client.put(f"{url}/aliases/production", headers=keys["acme"], json=target)
        client.delete(f"{url}/versions/{second.content_hash}", headers=keys["acme"])
        client.delete(old, headers=keys["acme"])
    moved, deleted, refused = lines()[2:]
    hashes = (first.content_hash, second.content_hash)
    assert (moved["version"], moved["before"], moved["status"]) == (*hashes, 200)
    assert (deleted["version"], deleted["before"], deleted["status"]) == (*hashes[::-1], 204)
    assert (refused["version"], refused["status"]) == (first.content_hash, 409)
