"""Raw float32 and the binary tensors of the Open Inference Protocol, through the application."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import ml_dtypes
import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient

from model_store.store import Store
from service.app import create_app
from service.open_inference.tensors import DATATYPES
from service.readiness import Readiness
from service.settings import Settings
from tests.service.alike import alike_json

ROW_LENGTH = 20
OCTETS = "application/octet-stream"
INFER = "/v2/models/masked/infer"


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    settings = Settings(store=Path(str(store.files)), max_request_rows=64, inference_margin_nats=0)
    with TestClient(create_app(settings, Readiness()), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(3).random((5, ROW_LENGTH), dtype=np.float32)


def tensor_of(rows: np.ndarray, datatype: str = "FP32", **changed: Any) -> dict[str, Any]:
    size = {"binary_data_size": rows.nbytes}
    tensor = {"name": "inputs", "shape": list(rows.shape), "datatype": datatype}
    return tensor | {"parameters": size} | changed


def post_binary(
    client: TestClient, document: object, tensors: bytes, length: str | None = None
) -> httpx2.Response:
    header = orjson.dumps(document)
    said = str(len(header)) if length is None else length
    headers = {"inference-header-content-length": said}
    return client.post(INFER, content=header + tensors, headers=headers)


def in_json(client: TestClient, rows: np.ndarray, name: str) -> list[Any]:
    tensor = {"name": "inputs", "shape": list(rows.shape), "datatype": "FP32"}
    body = {"inputs": [tensor | {"data": rows.ravel().tolist()}], "outputs": [{"name": name}]}
    values: list[Any] = client.post(INFER, json=body).json()["outputs"][0]["data"]
    return values


def split(answer: httpx2.Response) -> tuple[dict[str, Any], list[bytes]]:
    """The answer's JSON and its tensors, in the order of the outputs."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == OCTETS
    at = int(answer.headers["inference-header-content-length"])
    document = orjson.loads(answer.content[:at])
    tensors = []
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        tensors.append(answer.content[at : at + size])
        at += size
    assert at == len(answer.content)
    return document, tensors


def assert_problem(answer: httpx2.Response, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_raw_rows_are_answered_as_json_is_to_the_bit(
    client: TestClient, rows: np.ndarray, output: str
) -> None:
    answer = client.post(
        f"/v1/predict?task=masked&output={output}",
        content=rows.tobytes(),
        headers={"content-type": OCTETS, "accept": OCTETS, "x-request-id": "mine"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == OCTETS
    assert answer.headers["x-request-id"] == "mine"
    expected = np.array(in_json(client, rows, output), dtype=np.float32)
    assert answer.content == expected.astype("<f4").tobytes()


def test_raw_rows_may_be_answered_in_json_and_without_a_task(
    client: TestClient, rows: np.ndarray
) -> None:
    for task in (None, "masked"):
        query = "" if task is None else f"?task={task}"
        raw = client.post(
            f"/v1/predict{query}", content=rows.tobytes(), headers={"content-type": OCTETS}
        )
        body = {"inputs": rows.tolist()} | ({} if task is None else {"task": task})
        expected = client.post("/v1/predict", json=body).json()
        # Where coefficients answer, the planner chooses the path; a mask of its own has one.
        assert alike_json(raw.json(), expected) if task is None else raw.json() == expected


@pytest.mark.parametrize(
    ("query", "content", "status", "said"),
    [
        ("?task=masked", b"", 422, "80 bytes each, got 0 bytes"),
        ("?task=masked", bytes(79), 422, "80 bytes each, got 79 bytes"),
        ("?task=masked", bytes(80 * 65), 422, "at most 64 rows"),
        ("?task=masked", struct.pack("<20f", *[float("nan")] * 20), 422, "finite"),
        ("?task=masked", struct.pack("<20f", *[float("-inf")] * 20), 422, "finite"),
        ("?task=masked", struct.pack("<20f", *[2e6] * 20), 422, "finite"),
        ("?task=masked&output=labels", bytes(80), 422, "probabilities or logits"),
        ("?task=none", bytes(80), 404, "none"),
        ("?task=", bytes(80), 404, "no task"),
        ("", bytes(80), 422, "?task="),
    ],
)
def test_bad_raw_rows_are_refused_in_words(
    client: TestClient, query: str, content: bytes, status: int, said: str
) -> None:
    headers = {"content-type": OCTETS, "accept": OCTETS}
    assert_problem(
        client.post(f"/v1/predict{query}", content=content, headers=headers), status, said
    )


def test_limits_and_deadlines_hold_for_raw_rows(store: Store) -> None:
    settings = Settings(store=Path(str(store.files)), max_body_bytes=1024)
    headers = {"content-type": OCTETS}
    with TestClient(create_app(settings, Readiness())) as client:

        def chunks() -> Iterator[bytes]:
            for _ in range(20):
                yield bytes(80)

        for content in (bytes(1600), chunks()):
            answer = client.post("/v1/predict?task=masked", content=content, headers=headers)
            assert_problem(answer, 413, "1024")
        for timeout, status in (("60000", 200), ("0.001", 504), ("never", 422)):
            answer = client.post(
                "/v1/predict?task=masked",
                content=bytes(80),
                headers=headers | {"x-request-timeout-ms": timeout},
            )
            assert answer.status_code == status, answer.text
        text = client.get("/metrics").text
    for code, count in (("413", 2), ("200", 1), ("504", 1), ("422", 1)):
        assert (
            f'impress_http_requests_total{{code="{code}",method="POST",route="/v1/predict"}} '
            f"{count}.0" in text
        )
    assert "impress_requests_in_flight 1.0" in text


@pytest.mark.parametrize("datatype", DATATYPES)
def test_binary_tensor_of_any_number_type_is_taken_as_it_is(
    client: TestClient, datatype: str
) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16) if datatype == "BF16" else DATATYPES[datatype]
    values = np.random.default_rng(4).integers(0, 2, (3, ROW_LENGTH)).astype(dtype)
    if datatype.startswith(("FP", "BF")):
        values /= dtype.type(2)
    answer = post_binary(
        client,
        {"inputs": [tensor_of(values, datatype)], "parameters": {"binary_data_output": True}},
        values.tobytes(),
    )
    document, (logits, probabilities, labels) = split(answer)
    assert [output["name"] for output in document["outputs"]] == [
        "logits",
        "probabilities",
        "labels",
    ]
    as_fp32 = values.astype(np.float32)
    expected = np.array(in_json(client, as_fp32, "logits"), dtype="<f4")
    assert logits == expected.tobytes()
    assert len(probabilities) == 3 * 4 * 4
    names = in_json(client, as_fp32, "labels")
    assert labels == b"".join(struct.pack("<I", len(name)) + name.encode() for name in names)


def test_outputs_come_as_each_was_asked_for(client: TestClient, rows: np.ndarray) -> None:
    outputs = [
        {"name": "labels", "parameters": {"binary_data": False}},
        {"name": "logits"},
        {"name": "probabilities", "parameters": {"binary_data": True}},
    ]
    tensor = {"name": "inputs", "shape": [5, 20], "datatype": "FP32", "data": rows.tolist()}
    # JSON alone goes in, and what comes out is mixed.
    answer = client.post(INFER, json={"id": "a", "inputs": [tensor], "outputs": outputs})
    document, (_, _, probabilities) = split(answer)
    assert document["id"] == "a"
    labels, logits, described = document["outputs"]
    assert labels["data"] == in_json(client, rows, "labels")
    assert logits["data"] == in_json(client, rows, "logits")
    assert "data" not in described
    expected = np.array(in_json(client, rows, "probabilities"), dtype="<f4")
    assert probabilities == expected.tobytes()
    binary_in = post_binary(client, {"inputs": [tensor_of(rows)]}, rows.tobytes())
    assert binary_in.headers["content-type"] == "application/json"
    assert binary_in.json()["outputs"][0]["data"] == logits["data"]


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"datatype": "BYTES"}, 422, "FP32"),
        ({"datatype": "BOOL"}, 422, "FP32"),
        ({"datatype": ["FP32"]}, 422, "FP32"),
        ({"datatype": "FP64"}, 422, "binary_data_size: expected 800"),
        ({"shape": [4, 20]}, 422, "binary_data_size: expected 320"),
        ({"shape": [10**12, 20]}, 422, "at most 64 rows"),
        ({"shape": [5, 10**12]}, 422, "[rows, 20]"),
        ({"shape": [True, 20]}, 422, "[rows, 20]"),
        ({"shape": "5"}, 422, "[rows, 20]"),
        ({"name": 5}, 422, "name"),
        ({"data": [1]}, 422, "both"),
        ({"parameters": {"binary_data_size": 399}}, 422, "expected 400"),
        ({"parameters": {"binary_data_size": -400}}, 422, "expected 400"),
        ({"parameters": {"binary_data_size": "400"}}, 422, "expected 400"),
        ({"parameters": {"binary_data_size": 400.0}}, 422, "expected 400"),
        ({"parameters": {"shared_memory_region": "x"}}, 422, "binary_data_size only"),
        ({"parameters": {}}, 400, "400 bytes follow"),
        ({"parameters": None}, 400, "400 bytes follow"),
        ({"parameters": 5}, 422, "parameters"),
    ],
)
def test_bad_binary_tensor_is_refused_in_words(
    client: TestClient, rows: np.ndarray, changed: dict[str, Any], status: int, said: str
) -> None:
    document = {"inputs": [tensor_of(rows, **changed)]}
    assert_problem(post_binary(client, document, rows.tobytes()), status, said)


@pytest.mark.parametrize("length", ["", "-1", "ten", "1.5", "9" * 5000, "100000", "3", "0"])
def test_bad_length_of_the_json_is_refused(
    client: TestClient, rows: np.ndarray, length: str
) -> None:
    document = {"inputs": [tensor_of(rows)]}
    assert_problem(post_binary(client, document, rows.tobytes(), length), 400, "")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "an object"),
        ({"inputs": []}, "one tensor"),
        ({"inputs": [5]}, "one tensor"),
        ({"inputs": "x" * 9999}, "one tensor"),
        ({"id": 7}, "id"),
        ({"parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
        ({"parameters": []}, "parameters"),
        ({"outputs": {}}, "outputs"),
        ({"outputs": [7]}, "outputs"),
        ({"outputs": [{"name": "loss"}]}, "outputs.0.name"),
        ({"outputs": [{"name": ["logits"]}]}, "outputs.0.name"),
        ({"outputs": [{"name": "logits"}, {"name": "logits"}]}, "once"),
        ({"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]}, "binary_data"),
        ({"outputs": [{"name": "logits", "parameters": {"shared_memory": 3}}]}, "binary_data"),
        ({"outputs": [{"name": "logits", "parameters": {"classification": 0}}]}, "classification"),
        ({"outputs": [{"name": "labels", "parameters": {"classification": 3}}]}, "classification"),
        ({"parameters": {"timeout": -1}}, "microseconds"),
        ({"parameters": {"timeout": "soon"}}, "microseconds"),
    ],
)
def test_bad_request_around_a_good_tensor_is_refused_in_words(
    client: TestClient, rows: np.ndarray, document: object, said: str
) -> None:
    if isinstance(document, dict):
        document = {"inputs": [tensor_of(rows)]} | document
    answer = post_binary(client, document, rows.tobytes())
    assert_problem(answer, 422, said)
    assert len(answer.content) < 2000


def test_bytes_must_be_as_many_as_the_size_says(client: TestClient, rows: np.ndarray) -> None:
    document = {"inputs": [tensor_of(rows)]}
    for content in (rows.tobytes()[:-1], rows.tobytes() + b"\0", b""):
        assert_problem(post_binary(client, document, content), 400, "follow the JSON")


def test_binary_request_without_its_header_is_refused(client: TestClient, rows: np.ndarray) -> None:
    content = orjson.dumps({"inputs": [tensor_of(rows)]}) + rows.tobytes()
    assert_problem(
        client.post(INFER, content=content, headers={"content-type": OCTETS}), 400, "JSON"
    )


def test_the_live_version_answers_and_no_other(client: TestClient, rows: np.ndarray) -> None:
    version = client.get("/v2/models/masked").json()["versions"][0]
    tensor = {"name": "inputs", "shape": [5, 20], "datatype": "FP32", "data": rows.tolist()}
    path = "/v2/models/masked/versions"
    answer = client.post(f"{path}/{version}/infer", json={"inputs": [tensor]})
    assert answer.json()["model_version"] == version
    binary = orjson.dumps({"inputs": [tensor_of(rows)]})
    headers = {"inference-header-content-length": str(len(binary))}
    for known, status in ((version, 200), ("0" * 64, 404)):
        content = binary + rows.tobytes()
        answer = client.post(f"{path}/{known}/infer", content=content, headers=headers)
        assert answer.status_code == status
        assert client.get(f"{path}/{known}").status_code == status
        assert client.get(f"{path}/{known}/ready").status_code == status
        assert client.post(f"{path}/{known}/infer", json={"inputs": [tensor]}).status_code == status
    assert client.get("/v2/models/auto/versions/1").status_code == 404


def test_auto_names_the_task_of_binary_rows(client: TestClient, rows: np.ndarray) -> None:
    header = orjson.dumps({"inputs": [tensor_of(rows)], "parameters": {"binary_data_output": True}})
    answer = client.post(
        "/v2/models/auto/infer",
        content=header + rows.tobytes(),
        headers={"inference-header-content-length": str(len(header))},
    )
    document, tensors = split(answer)
    named = client.post("/v1/predict", json={"inputs": rows.tolist()}).json()["task"]
    assert document["parameters"]["task"] == named
    assert len(tensors[0]) == 5 * 4 * 4


def test_binary_tensors_are_declared_and_described(client: TestClient) -> None:
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v1/predict", "/v2/models/{task}/infer"):
        operation = paths[path]["post"]
        assert OCTETS in operation["requestBody"]["content"]
        assert OCTETS in operation["responses"]["200"]["content"]
        assert "application/json" in operation["responses"]["200"]["content"]
