"""The routes through the whole application, on a real store."""

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import KINDS, TaskArtifact
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.damage import damage_content
from tests.service.artifacts import MakeArtifact

ROW_LENGTH = 20


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def client(store: Store, readiness: Readiness) -> Iterator[TestClient]:
    settings = Settings(
        store=Path(str(store.files)), max_body_bytes=200_000, inference_margin_nats=0
    )
    with TestClient(create_app(settings, readiness), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(3).random((5, ROW_LENGTH), dtype=np.float32)


def reference_logits(
    network: FrozenNetwork, artifact: TaskArtifact, rows: np.ndarray
) -> np.ndarray:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    logits = forward(network.backbone, network.composed(artifact), inputs)
    return logits[:, : len(artifact.record.classes)].numpy()


def infer(client: TestClient, task: str, rows: np.ndarray) -> dict[str, Any]:
    tensor = {"name": "inputs", "shape": list(rows.shape), "datatype": "FP32"}
    body = {"id": "7", "inputs": [tensor | {"data": rows.ravel().tolist()}]}
    answer = client.post(f"/v2/models/{task}/infer", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def output(document: dict[str, Any], name: str) -> np.ndarray:
    (found,) = [one for one in document["outputs"] if one["name"] == name]
    dtype = object if found["datatype"] == "BYTES" else np.float32
    return np.array(found["data"], dtype=dtype).reshape(found["shape"])


def assert_problem(answer: httpx2.Response, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert said in document["detail"]
    assert said in document["error"]
    assert document["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("task", ["task-0", "task-3", "masked"])
def test_prediction_is_that_of_the_reference(
    client: TestClient, network: FrozenNetwork, store: Store, rows: np.ndarray, task: str
) -> None:
    expected = reference_logits(network, store.load(task), rows)
    answer = client.post("/v1/predict", json={"task": task, "inputs": rows.tolist()}).json()
    assert answer["task"] == task
    labels = [one["label"] for one in answer["predictions"]]
    assert labels == [("ant", "bee", "cat", "dog")[index] for index in expected.argmax(axis=1)]
    probabilities = torch.from_numpy(expected).softmax(dim=1).amax(dim=1).tolist()
    assert [one["probability"] for one in answer["predictions"]] == pytest.approx(
        probabilities, rel=1e-4
    )
    assert np.allclose(output(infer(client, task, rows), "logits"), expected, atol=1e-5)


def test_open_inference_answer_echoes_the_id_and_describes_its_tensors(
    client: TestClient, store: Store, rows: np.ndarray
) -> None:
    document = infer(client, "task-1", rows)
    assert document["id"] == "7"
    assert document["model_name"] == "task-1"
    assert document["model_version"] == store.load("task-1").content_hash
    probabilities = output(document, "probabilities")
    assert probabilities.shape == (5, 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    labels = output(document, "labels")
    assert [("ant", "bee", "cat", "dog").index(one) for one in labels] == probabilities.argmax(
        axis=1
    ).tolist()


def test_only_the_outputs_asked_for_come_back(client: TestClient, rows: np.ndarray) -> None:
    tensor = {"name": "inputs", "shape": [5, 20], "datatype": "FP32", "data": rows.tolist()}
    body = {"inputs": [tensor], "outputs": [{"name": "labels"}]}
    document = client.post("/v2/models/task-1/infer", json=body).json()
    assert [one["name"] for one in document["outputs"]] == ["labels"]


def test_open_inference_metadata(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "impress"
    metadata = client.get("/v2/models/task-1").json()
    assert metadata["inputs"] == [{"name": "inputs", "datatype": "FP32", "shape": [-1, 20]}]
    assert client.get("/v2/models/task-1/ready").status_code == 200
    assert client.get("/v2/models/auto/ready").status_code == 200
    assert_problem(client.get("/v2/models/none/ready"), 404, "none")


def picture_of(row: np.ndarray, kind: str = "PNG", size: tuple[int, int] = (5, 4)) -> bytes:
    pixels = (row.reshape(4, 5) * 255).round().astype(np.uint8)
    image = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def test_picture_is_predicted_as_its_rows_are(client: TestClient, rows: np.ndarray) -> None:
    quantised = (rows[0] * 255).round() / 255
    body = {"task": "task-1", "inputs": [quantised.tolist()]}
    expected = client.post("/v1/predict", json=body).json()["predictions"]
    png = picture_of(rows[0])
    raw = client.post(
        "/v1/predict?task=task-1", content=png, headers={"content-type": "image/png"}
    ).json()
    form = client.post(
        "/v1/predict", files={"file": ("x.png", png, "image/png")}, data={"task": "task-1"}
    ).json()
    for answer in (raw, form):
        assert answer["predictions"][0]["label"] == expected[0]["label"]
        assert answer["predictions"][0]["probability"] == pytest.approx(
            expected[0]["probability"], rel=1e-4
        )


def test_picture_of_another_size_or_kind_is_converted(client: TestClient, rows: np.ndarray) -> None:
    for kind, media in (("PNG", "image/png"), ("JPEG", "image/jpeg")):
        answer = client.post(
            "/v1/predict?task=task-1",
            content=picture_of(rows[0], kind, (50, 40)),
            headers={"content-type": media},
        )
        assert answer.status_code == 200, answer.text


def test_task_left_out_is_inferred_by_the_least_entropy(
    client: TestClient, rows: np.ndarray
) -> None:
    answer = client.post("/v1/predict", json={"inputs": rows.tolist()}).json()
    inference = answer["inference"]
    entropies = [one["entropy_nats"] for one in inference["candidates"]]
    assert len(entropies) == 5
    assert entropies == sorted(entropies)
    assert inference["entropy_nats"] == entropies[0]
    assert inference["margin_nats"] == pytest.approx(entropies[1] - entropies[0], abs=1e-5)
    assert answer["task"] == inference["candidates"][0]["task"]
    named = client.post("/v1/predict", json={"task": answer["task"], "inputs": rows.tolist()})
    assert [one["label"] for one in named.json()["predictions"]] == [
        one["label"] for one in answer["predictions"]
    ]
    auto = infer(client, "auto", rows)
    assert auto["parameters"]["task"] == answer["task"]


def test_one_shot_is_used_where_it_is_asked_for(client: TestClient, rows: np.ndarray) -> None:
    body = {"inputs": rows.tolist(), "method": "one-shot"}
    answer = client.post("/v1/predict", json=body)
    assert answer.status_code == 200
    assert answer.json()["inference"]["method"] == "one-shot"


def test_service_abstains_below_the_margin(store: Store, rows: np.ndarray) -> None:
    settings = Settings(store=Path(str(store.files)), inference_margin_nats=100)
    with TestClient(create_app(settings, Readiness())) as client:
        answer = client.post("/v1/predict", json={"inputs": rows.tolist()})
        assert answer.status_code == 200
        document = answer.json()
        assert document["inference"]["abstained"] is True
        assert document["task"] is None
        assert document["predictions"] is None
        auto = infer(client, "auto", rows)
        assert auto["outputs"] == []
        assert auto["parameters"]["abstained"] is True
        assert "task" not in auto["parameters"]


@pytest.mark.parametrize("kind", KINDS)
def test_uploaded_task_answers_at_once_and_is_listed(
    client: TestClient,
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    rows: np.ndarray,
    kind: str,
) -> None:
    artifact = make_artifact(50, kind)
    put = client.put("/v1/tasks/new", content=artifact.content)
    assert put.status_code == 201
    assert put.headers["etag"] == f'"{artifact.content_hash}"'
    assert put.headers["location"] == "/v1/tasks/new"
    expected = reference_logits(network, artifact, rows)
    assert np.allclose(output(infer(client, "new", rows), "logits"), expected, atol=1e-5)
    details = client.get("/v1/tasks/new").json()
    assert details["version"] == artifact.content_hash
    assert details["kind"] == kind
    assert details["artifact_bytes"] == len(artifact.content)
    assert details["classes"] == ["ant", "bee", "cat", "dog"]
    assert details["rows_predicted"] == 5
    assert "new" in [one["task"] for one in client.get("/v1/tasks").json()["tasks"]]


def test_replaced_task_never_answers_from_the_older_version(
    client: TestClient, network: FrozenNetwork, make_artifact: MakeArtifact, rows: np.ndarray
) -> None:
    for seed in range(60, 70):
        artifact = make_artifact(seed)
        put = client.put("/v1/tasks/task-0", content=artifact.content)
        assert put.status_code == 200
        document = infer(client, "task-0", rows)
        assert document["model_version"] == artifact.content_hash
        expected = reference_logits(network, artifact, rows)
        assert np.allclose(output(document, "logits"), expected, atol=1e-5)


def test_deleted_task_is_gone(client: TestClient, store: Store, rows: np.ndarray) -> None:
    assert client.delete("/v1/tasks/task-2").status_code == 204
    assert_problem(client.get("/v1/tasks/task-2"), 404, "task-2")
    assert_problem(client.delete("/v1/tasks/task-2"), 404, "task-2")
    body = {"task": "task-2", "inputs": rows.tolist()}
    assert_problem(client.post("/v1/predict", json=body), 404, "task-2")
    assert "task-2" not in store.task_ids()


def test_tasks_are_listed_page_by_page(client: TestClient) -> None:
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get("/v1/tasks", params={"limit": 2, "cursor": cursor}).json()
        seen += [one["task"] for one in page["tasks"]]
        cursor = page["next_cursor"]
    assert seen == ["masked", "task-0", "task-1", "task-2", "task-3"]


def test_many_callers_at_once_each_get_their_own_answer(
    client: TestClient, network: FrozenNetwork, store: Store
) -> None:
    artifacts = {task: store.load(task) for task in ("task-0", "task-1", "task-2", "masked")}
    barrier = threading.Barrier(8)

    def ask(seed: int) -> bool:
        generator = np.random.default_rng(seed)
        barrier.wait(20)
        for _ in range(15):
            task = str(generator.choice(list(artifacts)))
            own = generator.random((int(generator.integers(1, 9)), ROW_LENGTH), dtype=np.float32)
            if seed % 4 == 0:
                client.post("/v1/predict", json={"inputs": own.tolist()})
            expected = reference_logits(own_network[seed], artifacts[task], own)
            if not np.allclose(output(infer(client, task, own), "logits"), expected, atol=1e-4):
                return False
        return True

    # A network each: functional_call is not thread-safe on a shared module.
    own_network = [store.open(Path(str(store.files))).network for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


NUMBERS = [0.5] * ROW_LENGTH


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b'{"inputs": [[NaN]]}', 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        (b"[]", 422, "body"),
        (b"{}", 422, "inputs"),
        (b'{"inputs": []}', 422, "20 numbers"),
        (b'{"inputs": {}}', 422, "20 numbers"),
        (b'{"inputs": "abc"}', 422, "20 numbers"),
        (b'{"inputs": [1, 2]}', 422, "20 numbers"),
        (b'{"inputs": [[1, 2]]}', 422, "got 2 in a row"),
        (json.dumps({"inputs": [NUMBERS, [1]]}).encode(), 422, "row 1 has 1 entries"),
        (json.dumps({"inputs": [NUMBERS, 3]}).encode(), 422, "row 1 is no list"),
        (json.dumps({"inputs": [[None] * 20]}).encode(), 422, "numbers only"),
        (json.dumps({"inputs": [["a"] * 20]}).encode(), 422, "numbers only"),
        (json.dumps({"inputs": [[True] * 20]}).encode(), 422, "numbers only"),
        (json.dumps({"inputs": [[10**400] * 20]}).encode(), 400, "JSON"),
        (json.dumps({"inputs": [[10**30] * 20]}).encode(), 422, "finite"),
        (json.dumps({"inputs": [[1e300] * 20]}).encode(), 422, "finite"),
        (json.dumps({"inputs": [NUMBERS], "task": 5}).encode(), 422, "task"),
        (json.dumps({"inputs": [NUMBERS], "tsak": "x"}).encode(), 422, "tsak"),
        (json.dumps({"inputs": [NUMBERS], "method": "guess"}).encode(), 422, "method"),
        (json.dumps({"inputs": [NUMBERS], "task": ""}).encode(), 404, "no task"),
        (json.dumps({"inputs": [NUMBERS], "task": "../x"}).encode(), 404, "no task"),
        (json.dumps({"inputs": [NUMBERS], "task": "\ud800"}).encode(), 400, "JSON"),
        (json.dumps({"inputs": [[1] * 20] * 1025}).encode(), 422, "at most 1024 rows"),
        (b"[" * 100_000, 400, "JSON"),
    ],
)
def test_bad_json_is_refused_in_words(
    client: TestClient, body: bytes, status: int, said: str
) -> None:
    answer = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, status, said)
    good = {"task": "task-0", "inputs": [NUMBERS]}
    assert client.post("/v1/predict", json=good).status_code == 200


@pytest.mark.parametrize(
    ("content", "media", "status", "said"),
    [
        (b"", "image/png", 400, "PNG or JPEG"),
        (b"not an image", "image/png", 400, "PNG or JPEG"),
        (b"GIF89a" + b"\x00" * 50, "image/png", 400, "PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "image/png", 400, ""),
        (b"{}", "text/plain", 415, "text/plain"),
        (b"{}", "", 415, "content type"),
    ],
)
def test_bad_picture_is_refused_in_words(
    client: TestClient, content: bytes, media: str, status: int, said: str
) -> None:
    answer = client.post("/v1/predict", content=content, headers={"content-type": media})
    assert_problem(answer, status, said)


def test_truncated_picture_is_refused(client: TestClient, rows: np.ndarray) -> None:
    whole = picture_of(rows[0], size=(200, 200))
    for share in (0.2, 0.5, 0.9):
        answer = client.post(
            "/v1/predict",
            content=whole[: int(len(whole) * share)],
            headers={"content-type": "image/png"},
        )
        assert answer.status_code == 400, answer.text


def test_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    answer = client.post(
        "/v1/predict", content=buffer.getvalue(), headers={"content-type": "image/png"}
    )
    assert_problem(answer, 422, "pixels")


def test_form_without_its_file_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/predict", files={"picture": ("x.png", b"x", "image/png")})
    assert_problem(answer, 422, "picture")
    answer = client.post(
        "/v1/predict", content=b"--x", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 400


TENSOR = {"name": "inputs", "shape": [1, 20], "datatype": "FP32", "data": NUMBERS}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"datatype": "BYTES"}, "datatype"),
        ({"shape": [1, 19]}, "19"),
        ({"shape": [2, 20]}, "40 numbers"),
        ({"shape": [0, 20]}, "shape"),
        ({"shape": [-1, 20]}, "shape"),
        ({"shape": []}, "shape"),
        ({"shape": [10**9, 20]}, "at most"),
        ({"data": [NUMBERS, NUMBERS]}, "1 rows"),
        ({"data": 5}, "list"),
        ({"data": ["x"] * 20}, "numbers"),
        ({"data": [[1] * 20, 5]}, ""),
    ],
)
def test_bad_tensor_is_refused_in_words(
    client: TestClient, change: dict[str, object], said: str
) -> None:
    body = {"inputs": [TENSOR | change]}
    assert_problem(client.post("/v2/models/task-0/infer", json=body), 422, said)


def test_unknown_output_and_unknown_model_are_refused(client: TestClient) -> None:
    body = {"inputs": [TENSOR], "outputs": [{"name": "embedding"}]}
    assert_problem(client.post("/v2/models/task-0/infer", json=body), 422, "embedding")
    assert_problem(client.post("/v2/models/none/infer", json={"inputs": [TENSOR]}), 404, "none")


def test_artifact_that_cannot_serve_is_refused_and_changes_nothing(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    before = store.load("task-0").content_hash
    good = make_artifact(50)
    other = good.record.model_copy(
        update={"made_for": good.record.made_for.model_copy(update={"weights": "0" * 16})}
    )
    not_a_number = {"coefficients": torch.full((96,), float("nan"), dtype=torch.float16)}
    wrong_k = {"coefficients": torch.ones(93, dtype=torch.float16)}
    refused = [
        (TaskArtifact(other, good.tensors).content, 409, "weights fingerprint"),
        (TaskArtifact(good.record, not_a_number).content, 422, "finite"),
        (TaskArtifact(good.record, wrong_k).content, 422, "[96]"),
        (good.content[:-1], 400, "safetensors"),
        (b"\x00" * 1000, 400, "safetensors"),
        (b"", 400, "safetensors"),
    ]
    for content, status, said in refused:
        assert_problem(client.put("/v1/tasks/task-0", content=content), status, said)
        assert_problem(client.put("/v1/tasks/fresh", content=content), status, said)
    assert_problem(client.put("/v1/tasks/fresh", json={"a": 1}), 422, "record and tensors")
    text = {"content-type": "text/plain"}
    answer = client.put("/v1/tasks/fresh", content=good.content, headers=text)
    assert_problem(answer, 415, "application/json")
    assert store.load("task-0").content_hash == before
    assert "fresh" not in store.task_ids()


@pytest.mark.parametrize("name", ["auto", "a b", ".hidden", "-x", "x" * 129, "%C3%A9", "a%0A"])
def test_bad_task_name_is_refused(
    client: TestClient, make_artifact: MakeArtifact, name: str
) -> None:
    answer = client.put(f"/v1/tasks/{name}", content=make_artifact(1).content)
    assert_problem(answer, 422, "name")


def test_body_beyond_the_limit_is_refused_declared_or_not(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b"0" * 10_000

    for content in (b"0" * 300_000, chunks()):
        answer = client.post(
            "/v1/predict", content=content, headers={"content-type": "application/json"}
        )
        assert_problem(answer, 413, "200000")


def test_unknown_paths_and_methods_are_problems_too(client: TestClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "Not Found")
    assert_problem(client.patch("/v1/tasks"), 405, "Method Not Allowed")
    assert_problem(client.get("/v1/tasks?limit=0"), 422, "limit")


@pytest.mark.parametrize(
    "path", ["/v1/predict", "/v2/models/task-0/infer", "/v2/models/auto/infer"]
)
def test_request_that_takes_longer_than_it_may_is_given_up(client: TestClient, path: str) -> None:
    body = {"inputs": [NUMBERS]} if path == "/v1/predict" else {"inputs": [TENSOR]}
    for timeout, status in (("60000", 200), ("0.001", 504), ("never", 422)):
        answer = client.post(path, json=body, headers={"x-request-timeout-ms": timeout})
        assert answer.status_code == status, answer.text
    text = client.get("/metrics").text
    assert 'impress_rejected_total{reason="expired"} 1.0' in text


def test_default_timeout_holds_where_a_request_says_none(store: Store) -> None:
    settings = Settings(store=Path(str(store.files)), request_timeout_ms=0.001)
    with TestClient(create_app(settings, Readiness())) as client:
        body = {"task": "task-0", "inputs": [NUMBERS]}
        assert_problem(client.post("/v1/predict", json=body), 504, "time was over")
        patient = client.post("/v1/predict", json=body, headers={"x-request-timeout-ms": "60000"})
        assert patient.status_code == 200


def test_request_id_is_echoed_where_it_is_sane(client: TestClient) -> None:
    assert (
        client.get("/livez", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    replaced = client.get("/livez", headers={"x-request-id": "x" * 500}).headers["x-request-id"]
    assert len(replaced) == 16


def test_a_plan_is_explained_to_whoever_asks(client: TestClient) -> None:
    costs = client.get("/debug/plan").json()["costs"]
    assert costs["grouped"]["row_us"] > 0
    assert costs["compose_us"] > 0


def test_probes_tell_readiness_from_life(client: TestClient, readiness: Readiness) -> None:
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz").json()
    assert (ready["tasks"], ready["redis"]) == (5, "not configured")
    assert ready["store"] == "in step"
    readiness.draining = True
    assert client.get("/livez").status_code == 200
    assert_problem(client.get("/readyz"), 503, "draining")
    assert client.get("/v2/health/ready").headers["retry-after"]


def test_damaged_task_is_left_out_and_said(store: Store, rows: np.ndarray) -> None:
    damage_content(Path(str(store.files)), "task-1")
    with TestClient(create_app(Settings(store=Path(str(store.files))), Readiness())) as client:
        ready = client.get("/readyz").json()
        assert ready["tasks"] == 4
        assert store.current_hash("task-1") in ready["damaged_tasks"]["task-1"]
        good = {"task": "task-0", "inputs": rows.tolist()}
        assert client.post("/v1/predict", json=good).status_code == 200


def test_metrics_count_what_happened_and_never_name_a_task(
    client: TestClient, rows: np.ndarray
) -> None:
    for _ in range(3):
        client.post("/v1/predict", json={"task": "masked", "inputs": rows.tolist()})
    client.post("/v1/predict", json={"inputs": rows.tolist()})
    text = client.get("/metrics").text
    assert 'impress_http_requests_total{code="200",method="POST",route="/v1/predict"} 4.0' in text
    assert 'impress_cache_queries_total{tier="process"} 3.0' in text
    assert 'impress_cache_hits_total{tier="process"} 2.0' in text
    assert 'impress_inference_total{result="named"} 1.0' in text
    assert "impress_tasks_registered 5.0" in text
    assert '"masked"' not in text
    assert "task-" not in text
    open_metrics = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert open_metrics.text.endswith("# EOF\n")


def test_documentation_describes_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/predict", "/v1/tasks", "/v1/tasks/{task}", "/v2/models/{task}/infer"} <= set(paths)
    assert "application/json" in paths["/v1/predict"]["post"]["requestBody"]["content"]
    for path in ("/v1/predict", "/v2/models/{task}/infer"):
        names = [one["name"] for one in paths[path]["post"]["parameters"]]
        assert "X-Request-Timeout-Ms" in names
        assert "task" in names
    page = client.get("/docs")
    assert page.status_code == 200
    assert "cdn" not in page.text
    assert len(client.get("/swagger/swagger-ui-bundle.js").content) > 1_000_000


def test_metrics_say_whether_requests_are_welcome_and_how_many_may_wait(
    client: TestClient, readiness: Readiness
) -> None:
    lines = client.get("/metrics").text.splitlines()
    assert "impress_ready 1.0" in lines
    assert "impress_queue_limit_rows 8192.0" in lines
    assert "impress_redis_configured 0.0" in lines
    readiness.draining = True
    assert "impress_ready 0.0" in client.get("/metrics").text.splitlines()
