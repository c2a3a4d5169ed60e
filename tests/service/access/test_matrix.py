"""Every route against no key, an unknown one, each scope, and another tenant's task."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from model_store.store import Store
from service.access.rules import ADMINISTERING, HTTP_RULES, Rules
from service.access.table import of_another_tenant, refusal, with_table
from service.app import Application
from tests.service.access.conftest import Headers
from tests.service.artifacts import MakeArtifact

PAGE = Path(__file__).parents[3] / "docs/access.md"
ROWS = np.random.default_rng(3).random((2, 20), dtype=np.float32)
TENSOR = {"name": "inputs", "shape": [2, 20], "datatype": "FP32", "data": ROWS.ravel().tolist()}

# A redirect, and what is refused for another reason: nothing is ever unloaded, what answers is not
# deleted, and there is no canary.
ANSWERED = {
    "GET /": 307,
    "POST /v2/repository/models/{task}/unload": 409,
    "DELETE /v1/tasks/{task}/versions/{version}": 409,
    "DELETE /v1/tasks/{task}/aliases/canary": 404,
}


def ask(
    client: TestClient, name: str, headers: Headers, task: str, version: str, content: bytes
) -> httpx2.Response:
    artifacts = hashlib.sha256(content).hexdigest()
    method, path = name.replace("{task}", task).split(" ")
    path = path.replace("{version}", artifacts if method == "PUT" else version)
    if path == "/swagger":
        path += "/swagger-ui.css"
    given: dict[str, Any] = {}
    if path == "/v1/predict":
        given = {"json": {"task": task, "inputs": ROWS.tolist()}}
    elif path.endswith("/infer"):
        given = {"json": {"inputs": [TENSOR]}}
    elif "/aliases/" in path and method == "PUT":
        share = {"share": 0.5} if path.endswith("canary") else {}
        given = {"json": {"version": version} | share}
    elif method == "PUT" or path.endswith(":validate"):
        given = {"content": content}
    return client.request(method, path, headers=headers, **given)


def test_every_route_has_a_rule_and_every_rule_a_route(app: Application) -> None:
    assert sorted(app.rules.names) == sorted(HTTP_RULES)


def test_route_without_a_rule_is_for_administrators(app: Application) -> None:
    router = APIRouter()
    router.add_api_route("/v1/forgotten/{task}", lambda task: task)
    assert Rules(router.routes).of("GET", "/v1/forgotten/x")[0] == ADMINISTERING


@pytest.mark.parametrize("name", HTTP_RULES)
def test_route_answers_whom_the_table_says(
    asking: Callable[[], TestClient],
    tenants_store: Store,
    make_artifact: MakeArtifact,
    keys: dict[str, Headers],
    name: str,
) -> None:
    rule, content = HTTP_RULES[name], make_artifact(60).content
    callers: dict[str, tuple[Headers, frozenset[Any] | None]] = {
        "nobody": ({}, None),
        "stranger": ({"Authorization": "Bearer impress_of-another-service"}, None),
    }
    for scope in ("predict", "publish", "admin"):
        callers[scope] = keys[scope], frozenset({scope})
    with asking() as client:
        version = tenants_store.load("task-1").content_hash
        for caller, (headers, scopes) in callers.items():
            answer = ask(client, name, headers, "task-1", version, content)
            refused = refusal(rule, scopes)
            if refused is None:
                assert answer.status_code == ANSWERED.get(name, answer.status_code), caller
                assert answer.status_code < 400 or name in ANSWERED, (caller, answer.text)
                continue
            assert answer.status_code == refused, caller
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
            challenged = answer.headers.get("www-authenticate")
            assert challenged == ("Bearer" if refused == 401 else None)


@pytest.mark.parametrize("name", HTTP_RULES)
def test_another_tenants_task_is_none(
    asking: Callable[[], TestClient],
    tenants_store: Store,
    make_artifact: MakeArtifact,
    keys: dict[str, Headers],
    name: str,
) -> None:
    said, content = of_another_tenant(name, HTTP_RULES[name]), make_artifact(60).content
    version = tenants_store.load("acme~private").content_hash
    with asking() as client:
        # Neither by its name nor by the store's.
        for task in ("private", "acme~private"):
            answer = ask(client, name, keys["zeta"], task, version, content)
            if said == "404":
                # A change by a name outside the alphabet is refused as such.
                no_name = "~" in task and name.startswith(("PUT", "DELETE"))
                assert answer.status_code == (422 if no_name else 404)
            elif said == "not shown":
                assert answer.status_code == 200
                assert "private" not in answer.text
            elif said == "makes its own":
                assert answer.status_code == (422 if "~" in task else 201)
    assert tenants_store.load("acme~private").content_hash == version


def test_names_that_are_no_route_are_404_to_good_keys_and_401_to_others(
    asking: Callable[[], TestClient], keys: dict[str, Headers]
) -> None:
    with asking() as client:
        assert client.get("/v1/none").status_code == 401
        assert client.get("/v1/none", headers=keys["predict"]).status_code == 404
        assert client.patch("/v1/tasks/task-0", headers=keys["predict"]).status_code == 405
        assert client.patch("/v1/tasks/task-0").status_code == 401
        long = "/v1/tasks/" + "x" * 5000
        assert client.get(long).status_code == 401
        assert client.get(long, headers=keys["predict"]).status_code == 404


def test_page_on_access_says_what_the_rules_say() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, "make format writes the table again"
    assert with_table(page.replace("| 401 |", "| yes |")) == page


def test_documentation_says_which_operations_ask_for_a_key(
    asking: Callable[[], TestClient],
) -> None:
    with asking() as client:
        document = client.get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needs = HTTP_RULES[f"{method.upper()} {path}"].needs
            assert ("security" in operation) == (needs is not None), path
