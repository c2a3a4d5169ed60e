"""Keys on a real process: raw requests on both ways, SIGHUP, two ports, gRPC, no secret said."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from model_store.store import Store
from service.access.rules import GRPC_RULES
from service.access.table import of_another_tenant, refusal
from tests.real_parts import free_port, running_service
from tests.service.access.conftest import Headers
from tests.service.access.key_files import scoped, written
from tests.service.artifacts import MakeArtifact

ROW = np.random.default_rng(5).random((1, 20), dtype=np.float32).tobytes()
RAW = {"Content-Type": "application/octet-stream"}


def ask(client: httpx2.Client, headers: Headers, task: str = "task-0") -> httpx2.Response:
    return client.post(f"/v1/predict?task={task}", headers=RAW | headers, content=ROW)


# An access log has every request go through ASGI; without, raw ones are answered before it.
@pytest.fixture(params=["false", "true"], ids=["direct", "ordinary"])
def client(
    request: pytest.FixtureRequest,
    tenants_store: Store,
    keys_file: Path,
    keys: dict[str, Headers],
) -> Iterator[httpx2.Client]:
    settings = {"KEYS_FILE": str(keys_file), "ACCESS_LOG": request.param}
    with running_service(Path(str(tenants_store.files)), **settings) as client:
        yield client


def test_raw_requests_are_let_in_by_the_same_rules(
    client: httpx2.Client, keys: dict[str, Headers], tenants_store: Store
) -> None:
    refused = ask(client, {})
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.json()["instance"] == "/v1/predict"
    assert ask(client, {"Authorization": "Bearer impress_nobodys"}).status_code == 401
    assert ask(client, keys["publish"]).status_code == 403
    assert ask(client, keys["admin"]).status_code == 403
    assert ask(client, keys["predict"]).status_code == 200
    # Before anything of the body is read, and before a task is looked for.
    assert ask(client, {}, task="none").status_code == 401
    for task in ("hidden", "zeta~hidden"):
        assert ask(client, keys["acme"], task).status_code == 404
    assert ask(client, keys["zeta"], "hidden").json()["task"] == "hidden"
    own = tenants_store.load("zeta~task-0").content_hash
    assert ask(client, keys["zeta"]).json()["version"] == own
    assert ask(client, keys["acme"]).json()["version"] != own
    versioned = f"/v2/models/task-0/versions/{own}/infer"
    tensor = {"name": "inputs", "shape": [1, 20], "datatype": "FP32", "data": [0.5] * 20}
    content = json.dumps({"inputs": [tensor]}).encode()
    for name, code in (("zeta", 200), ("acme", 404)):
        answer = client.post(versioned, headers=RAW | keys[name], content=content)
        assert answer.status_code == code
    two = [("Authorization", keys["predict"]["Authorization"])] * 2
    assert client.post("/v1/predict?task=task-0", headers=two, content=ROW).status_code == 401


def test_raw_requests_count_once(client: httpx2.Client, keys: dict[str, Headers]) -> None:
    # The first of each pair is for the application to answer, which has no task.
    codes = []
    for _ in range(2):
        codes.append(
            client.post("/v1/predict", headers=RAW | keys["slow"], content=ROW).status_code
        )
        codes.append(ask(client, keys["slow"]).status_code)
    assert codes == [200, 200, 200, 429]
    assert [ask(client, keys["narrow"]).status_code for _ in range(3)] == [200, 200, 429]


def test_revoked_key_is_no_good_on_an_open_connection_either(
    client: httpx2.Client, keys: dict[str, Headers], keys_file: Path
) -> None:
    assert ask(client, keys["predict"]).status_code == 200
    after = written(keys_file, fresh=scoped("predict"))["fresh"]
    os.kill(int(client.headers["X-Pid"]), signal.SIGHUP)
    deadline = time.monotonic() + 10
    while ask(client, {"Authorization": after}).status_code != 200:
        assert time.monotonic() < deadline
    assert ask(client, keys["predict"]).status_code == 401


def test_no_secret_is_in_a_log_an_error_a_metric_or_the_audit(
    tenants_store: Store,
    keys_file: Path,
    keys: dict[str, Headers],
    tmp_path: Path,
    make_artifact: MakeArtifact,
    capfd: pytest.CaptureFixture[str],
) -> None:
    audit = tmp_path / "audit.log"
    settings = {"KEYS_FILE": str(keys_file), "AUDIT_FILE": str(audit), "LOG_LEVEL": "debug"}
    settings |= {"LOG_FORMAT": "json", "SLOW_REQUEST_MS": "0.001"}
    guessed = {"Authorization": "Bearer impress_a-guess-of-somebodys"}
    said = []
    with running_service(Path(str(tenants_store.files)), **settings) as client:
        for headers in (*keys.values(), guessed):
            said.append(ask(client, headers).text)
            said.append(client.get("/v1/tasks/none", headers=headers).text)
            put = client.put("/v1/tasks/x", headers=headers, content=make_artifact(90).content)
            said.append(put.text)
            said.append(client.post("/v1/predict", headers=headers, content=b"{").text)
        openmetrics = {"Accept": "application/openmetrics-text"}
        said.append(client.get("/metrics", headers=keys["admin"] | openmetrics).text)
    said += [capfd.readouterr().err, audit.read_text()]
    secrets = [one["Authorization"].partition(" ")[2] for one in (*keys.values(), guessed)]
    hashes = [one for key in json.loads(keys_file.read_text())["keys"] for one in key["sha256"]]
    for secret in (*secrets, *hashes):
        assert not [text for text in said if secret in text]
    assert "keys_file" not in said[-2]
    assert len(audit.read_text().splitlines()) == len(keys)
    slow = [json.loads(line) for line in said[-2].splitlines() if "request was slow" in line]
    assert {"acme", "zeta"} <= {one.get("tenant") for one in slow}


def test_management_port_is_a_second_one_of_the_same_process(store: Store) -> None:
    port, grpc_port = free_port(), str(free_port())
    settings = {"MANAGEMENT_PORT": str(port), "GRPC_PORT": grpc_port}
    with running_service(Path(str(store.files)), **settings) as client:
        managed = f"http://127.0.0.1:{port}"
        assert client.get("/metrics").status_code == 404
        assert client.get(f"{managed}/metrics").status_code == 200
        assert client.get(f"{managed}/livez").status_code == 200
        assert client.delete("/v1/tasks/task-1").status_code == 404
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert called(stub, "ServerMetadata", {})[0] == grpc.StatusCode.OK
            assert called(stub, "RepositoryModelLoad", {})[0] == grpc.StatusCode.NOT_FOUND
        assert client.delete(f"{managed}/v1/tasks/task-1").status_code == 204
        assert ask(client, {}).status_code == 200


REQUESTS: dict[str, Any] = {
    "ModelReady": {"name": "private"},
    "ModelMetadata": {"name": "private"},
    "ModelInfer": {"model_name": "private"},
    "RepositoryModelLoad": {"model_name": "task-1"},
    "RepositoryModelUnload": {"model_name": "task-1"},
}
CODES = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}


def called(stub: Any, name: str, headers: Headers) -> tuple[grpc.StatusCode, Any]:
    request = getattr(service_pb2, f"{name}Request")(**REQUESTS.get(name, {}))
    if name == "ModelInfer":
        request.inputs.add(name="inputs", datatype="FP32", shape=[1, 20])
        request.raw_input_contents.append(ROW)
    metadata = [(key.lower(), value) for key, value in headers.items()]
    try:
        return grpc.StatusCode.OK, getattr(stub, name)(request, metadata=metadata, timeout=10)
    except grpc.RpcError as error:
        return error.code(), None


def test_grpc_asks_for_keys_as_the_table_says(
    tenants_store: Store, keys_file: Path, keys: dict[str, Headers]
) -> None:
    port = str(free_port())
    settings = {"KEYS_FILE": str(keys_file), "GRPC_PORT": port}
    tenants_store.publish("private", tenants_store.load("task-1"))
    callers: list[tuple[Headers, frozenset[Any] | None]] = [
        ({}, None),
        ({"Authorization": "Bearer impress_nobodys"}, None),
        *((keys[scope], frozenset({scope})) for scope in ("predict", "publish", "admin")),
    ]
    # Refused for another reason: nothing is ever unloaded.
    done = {"RepositoryModelUnload": grpc.StatusCode.FAILED_PRECONDITION}
    with (
        running_service(Path(str(tenants_store.files)), **settings),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name, rule in GRPC_RULES.items():
            for headers, scopes in callers:
                refused = refusal(rule, scopes)
                expected = done.get(name, grpc.StatusCode.OK)
                expected = expected if refused is None else CODES[refused]
                assert called(stub, name, headers)[0] == expected, (name, scopes)
        own = tenants_store.load("acme~private").content_hash
        _, answer = called(stub, "ModelInfer", keys["acme"])
        assert answer.model_version == own
        tenants_store.delete("private")
        deadline = time.monotonic() + 20
        while called(stub, "ModelInfer", keys["zeta"])[0] != grpc.StatusCode.NOT_FOUND:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for name, rule in GRPC_RULES.items():
            code, answer = called(stub, name, keys["zeta"])
            said = of_another_tenant(f"gRPC {name}", rule)
            if said == "404":
                assert code == grpc.StatusCode.NOT_FOUND
            elif said == "not ready":
                assert not answer.ready
            elif said == "not shown":
                assert "private" not in [one.name for one in answer.models]
        narrow = [called(stub, "ModelInfer", keys["narrow"])[0] for _ in range(3)]
        ok, exhausted = grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED
        assert narrow == [ok, ok, exhausted]
