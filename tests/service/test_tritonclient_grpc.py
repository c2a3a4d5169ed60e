"""The Open Inference Protocol over gRPC, as its own client speaks it, to a real process."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx2
import ml_dtypes
import numpy as np
import pytest
from tritonclient.grpc import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    service_pb2,
    service_pb2_grpc,
)
from tritonclient.grpc.aio import InferenceServerClient as AsyncClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from model_store.network import FrozenNetwork
from model_store.store import Store
from tests.real_parts import free_port, running_service
from tests.service.alike import alike
from tests.service.artifacts import MakeArtifact

ROWS = np.random.default_rng(3).random((3, 20), dtype=np.float32)
CLASSES = ("ant", "bee", "cat", "dog")
MAX_BODY_BYTES = 1 << 20


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, make_artifact: MakeArtifact
) -> Path:
    store = Store.create(tmp_path_factory.mktemp("grpc") / "store", network)
    store.publish("masked", make_artifact(99, kind="supermask"))
    store.publish("other", make_artifact(98, kind="supermask"))
    return Path(str(store.files))


@pytest.fixture(scope="module")
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def by_http(folder: Path, address: str) -> Iterator[httpx2.Client]:
    """The one process's other face; it serves by gRPC at `address`."""
    port = address.rpartition(":")[2]
    limit = str(MAX_BODY_BYTES)
    settings = {"GRPC_PORT": port, "INFERENCE_MARGIN_NATS": "0", "MAX_BODY_BYTES": limit}
    with running_service(folder, **settings) as client:
        yield client


@pytest.fixture(scope="module")
def client(by_http: httpx2.Client, address: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address) as client:
        yield client


@pytest.fixture
def stub(by_http: httpx2.Client, address: str) -> Iterator[Any]:
    with grpc.insecure_channel(address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def given(rows: np.ndarray) -> list[InferInput]:
    tensor = InferInput("inputs", list(rows.shape), np_to_triton_dtype(rows.dtype))
    tensor.set_data_from_numpy(rows)
    return [tensor]


def request_of(**changed: Any) -> Any:
    tensor = {"name": "inputs", "shape": [3, 20], "datatype": "FP32"}
    request = {"model_name": "masked", "inputs": [tensor], "raw_input_contents": [ROWS.tobytes()]}
    return service_pb2.ModelInferRequest(**request | changed)


def logits_by_http(by_http: httpx2.Client, rows: np.ndarray) -> np.ndarray:
    tensor = {"name": "inputs", "shape": list(rows.shape), "datatype": "FP32"}
    body = {"inputs": [tensor | {"data": rows.tolist()}], "outputs": [{"name": "logits"}]}
    (output,) = by_http.post("/v2/models/masked/infer", json=body).json()["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def sample(by_http: httpx2.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", by_http.get("/metrics").text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_client_finds_the_server_and_its_models_as_by_http(
    client: InferenceServerClient, by_http: httpx2.Client
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata(as_json=True) == by_http.get("/v2").json()
    metadata = client.get_model_metadata("masked")
    expected = by_http.get("/v2/models/masked").json()
    assert (metadata.name, metadata.platform) == ("masked", "impress_torch")
    assert list(metadata.versions) == expected["versions"]
    for found, known in ((metadata.inputs, "inputs"), (metadata.outputs, "outputs")):
        said = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in found]
        assert said == expected[known]
    (version,) = metadata.versions
    assert client.is_model_ready("masked")
    assert client.is_model_ready("masked", version)
    assert client.is_model_ready("auto")
    assert not client.is_model_ready("masked", "1")
    assert not client.is_model_ready("none")


@pytest.mark.parametrize(
    "dtype",
    [
        np.float32, np.float64, np.float16, ml_dtypes.bfloat16,
        np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
    ],
)  # fmt: skip
def test_rows_of_any_number_type_are_answered_as_by_http(
    client: InferenceServerClient, by_http: httpx2.Client, dtype: type
) -> None:
    rows: np.ndarray = ROWS.round().astype(dtype)
    answer = client.infer("masked", given(rows), request_id="7")
    assert answer.get_response().id == "7"
    logits = answer.as_numpy("logits")
    assert logits.dtype == np.float32
    assert alike(logits, logits_by_http(by_http, ROWS.round()))
    assert answer.as_numpy("probabilities").sum(axis=1) == pytest.approx(np.ones(3))
    labels = [label.decode() for label in answer.as_numpy("labels")]
    assert labels == [CLASSES[index] for index in logits.argmax(axis=1)]


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
        ("INT8", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT8", "uint_contents"),
        ("UINT64", "uint64_contents"),
    ],
)
def test_typed_contents_are_read_as_raw_ones_are(
    stub: Any, by_http: httpx2.Client, datatype: str, field: str
) -> None:
    numbers = ROWS.round().ravel()
    values = numbers.tolist() if datatype.startswith("FP") else numbers.astype(int).tolist()
    tensor = {"name": "inputs", "shape": [3, 20], "datatype": datatype, "contents": {field: values}}
    answer = stub.ModelInfer(request_of(inputs=[tensor], raw_input_contents=[]))
    logits = np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(3, 4)
    assert alike(logits, logits_by_http(by_http, ROWS.round()))


def test_outputs_come_as_they_were_asked_for(client: InferenceServerClient) -> None:
    wanted = [InferRequestedOutput("probabilities", class_count=2), InferRequestedOutput("logits")]
    (version,) = client.get_model_metadata("masked").versions
    answer = client.infer("masked", given(ROWS), model_version=version, outputs=wanted)
    response = answer.get_response()
    assert response.model_version == version
    assert [output.name for output in response.outputs] == ["probabilities", "logits"]
    best = answer.as_numpy("probabilities")
    assert best.shape == (3, 2)
    for said, logits in zip(best, answer.as_numpy("logits"), strict=True):
        order = np.argsort(-logits)[:2]
        assert [text.decode().split(":")[1:] for text in said] == [
            [str(index), CLASSES[index]] for index in order
        ]


def test_auto_says_how_it_found_the_task(
    client: InferenceServerClient, by_http: httpx2.Client
) -> None:
    parameters = client.infer("auto", given(ROWS)).get_response().parameters
    named = by_http.post("/v1/predict", json={"inputs": ROWS.tolist()}).json()
    assert parameters["task"].string_param == named["task"]
    assert parameters["abstained"].bool_param is False
    entropy = named["inference"]["entropy_nats"]
    assert parameters["entropy_nats"].double_param == pytest.approx(entropy)


def test_auto_searches_as_parameters_say(client: InferenceServerClient) -> None:
    said = {"method": "exhaustive", "prefix": "mask"}
    parameters = client.infer("auto", given(ROWS), parameters=said).get_response().parameters
    assert parameters["method"].string_param == "exhaustive"
    assert parameters["confidence"].double_param == 1
    with pytest.raises(InferenceServerException, match="the tags night"):
        client.infer("auto", given(ROWS), parameters={"tags": "night"})
    with pytest.raises(InferenceServerException, match=r"parameters\.tags"):
        client.infer("auto", given(ROWS), parameters={"tags": "a b"})


def test_sequence_gathers_rows_over_calls(client: InferenceServerClient) -> None:
    def rows(**said: object) -> Any:
        return client.infer("auto", given(ROWS[:1]), **said).get_response().parameters["rows"]

    found = [rows(sequence_id="b"), rows(sequence_id="b", sequence_end=True), rows()]
    assert [one.int64_param for one in found] == [1, 2, 1]
    assert rows(sequence_id=8).int64_param == 1
    assert rows(sequence_id=8).int64_param == 2


TENSOR = {"name": "inputs", "shape": [3, 20], "datatype": "FP32"}
TYPED = TENSOR | {"contents": {"fp32_contents": [0.5] * 60}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": []}, "one tensor, got 0"),
        ({"inputs": [TENSOR, TENSOR]}, "one tensor, got 2"),
        ({"inputs": [TENSOR | {"datatype": "BYTES"}]}, "datatype"),
        ({"inputs": [TENSOR | {"shape": [3, 19]}]}, r"\[rows, 20\], got \[3, 19\]"),
        ({"inputs": [TENSOR | {"shape": [1 << 62, 20]}]}, "at most"),
        ({"inputs": [TENSOR | {"parameters": {"shared_memory_region": {}}}]}, "shared_memory"),
        ({"inputs": [TYPED]}, "got both"),
        ({"inputs": [TYPED | {"shape": [4, 20]}], "raw_input_contents": []}, "80 numbers, got 60"),
        ({"inputs": [TENSOR | {"datatype": "FP16"}], "raw_input_contents": []}, "got none"),
        ({"raw_input_contents": []}, "60 numbers, got 0"),
        ({"raw_input_contents": [ROWS.tobytes()[:-1]]}, "240 bytes .* got 239"),
        ({"raw_input_contents": [ROWS.tobytes(), b""]}, "one tensor, got those of 2"),
        ({"raw_input_contents": [np.full((3, 20), np.nan, "f4").tobytes()]}, "finite"),
        ({"outputs": [{"name": "embedding"}]}, "embedding"),
        ({"outputs": [{"name": "logits"}, {"name": "logits"}]}, "once"),
        ({"outputs": [{"name": "logits", "parameters": {"shared_memory": {}}}]}, "shared_memory"),
        ({"outputs": [{"name": "labels", "parameters": {"classification": {"int64_param": 1}}}]},
         "classification"),
        ({"parameters": {"timeout": {"string_param": "soon"}}}, "microseconds"),
    ],
)  # fmt: skip
def test_bad_request_is_refused_in_words(stub: Any, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(request_of(**changed))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(said, raised.value.details())


def test_unknown_names_and_passed_times_have_their_own_status(
    client: InferenceServerClient,
) -> None:
    for model, version in (("none", ""), ("masked", "1"), ("auto", "1")):
        with pytest.raises(InferenceServerException, match="no ") as raised:
            client.infer(model, given(ROWS), model_version=version)
        assert raised.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException, match="time was over") as raised:
        client.infer("masked", given(ROWS), timeout=1)
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    with pytest.raises(InferenceServerException) as raised:
        client.get_inference_statistics("masked")
    assert raised.value.status() == "StatusCode.UNIMPLEMENTED"


def test_repository_is_the_one_that_http_shows(
    client: InferenceServerClient, by_http: httpx2.Client
) -> None:
    index = client.get_model_repository_index()
    listed = [(one.name, one.version, one.state, one.reason) for one in index.models]
    known = by_http.post("/v2/repository/index").json()
    assert listed == [tuple(one.values()) for one in known]
    client.load_model("masked")
    with pytest.raises(InferenceServerException, match="expected none") as raised:
        client.load_model("masked", config="{}")
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="stays in memory") as raised:
        client.unload_model("masked")
    assert raised.value.status() == "StatusCode.FAILED_PRECONDITION"
    with pytest.raises(InferenceServerException, match="no task") as raised:
        client.load_model("none")
    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_compressed_request_is_bounded_by_what_it_unpacks_to(
    client: InferenceServerClient, stub: Any
) -> None:
    for algorithm in ("gzip", "deflate"):
        answer = client.infer("masked", given(ROWS), compression_algorithm=algorithm)
        assert answer.as_numpy("logits").shape == (3, 4)
    for size, compression in ((MAX_BODY_BYTES, None), (200 << 20, grpc.Compression.Gzip)):
        with pytest.raises(grpc.RpcError) as raised:
            stub.ModelInfer(request_of(raw_input_contents=[bytes(size)]), compression=compression)
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.infer("masked", given(ROWS)).as_numpy("logits").shape == (3, 4)


def test_calls_are_counted_among_all_requests(
    client: InferenceServerClient, by_http: httpx2.Client
) -> None:
    path = "/inference.GRPCInferenceService/ModelInfer"
    name = f'impress_http_requests_total{{code="200",method="POST",route="{path}"}}'
    before = sample(by_http, name)
    client.infer("masked", given(ROWS))
    assert sample(by_http, name) == before + 1


@pytest.mark.anyio
async def test_asyncio_client_is_answered_alike(by_http: httpx2.Client, address: str) -> None:
    async with AsyncClient(address) as client:
        assert await client.is_server_ready()
        metadata = await client.get_model_metadata("masked")
        answer = await client.infer("masked", given(ROWS), model_version=metadata.versions[0])
        assert alike(answer.as_numpy("logits"), logits_by_http(by_http, ROWS))
        assert len((await client.get_model_repository_index()).models) == 2
        with pytest.raises(InferenceServerException, match="no task 'none'"):
            await client.infer("none", given(ROWS))


def test_call_under_way_is_answered_before_the_service_ends(folder: Path, address: str) -> None:
    port = free_port()
    settings = {"GRPC_PORT": str(port), "MAX_BATCH_DELAY_MS": "1000"}
    with (
        running_service(folder, **settings) as by_http,
        InferenceServerClient(f"127.0.0.1:{port}") as client,
        ThreadPoolExecutor(1) as thread,
    ):
        under_way = thread.submit(client.infer, "masked", given(ROWS))
        deadline = time.monotonic() + 10
        while sample(by_http, "impress_queue_rows") < 3:
            assert time.monotonic() < deadline
        os.kill(int(by_http.headers["X-Pid"]), signal.SIGTERM)
        assert under_way.result(20).as_numpy("logits").shape == (3, 4)


def test_rows_of_a_caller_who_left_are_never_computed(folder: Path) -> None:
    port = free_port()
    settings = {"GRPC_PORT": str(port), "MAX_BATCH_DELAY_MS": "1000"}
    with (
        running_service(folder, **settings) as by_http,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request_of())
        deadline = time.monotonic() + 10
        while sample(by_http, "impress_queue_rows") < 3:
            assert time.monotonic() < deadline
        call.cancel()
        while sample(by_http, 'impress_rejected_total{reason="left"}') < 1:
            assert time.monotonic() < deadline
        assert sample(by_http, "impress_queue_rows") == 0
        time.sleep(1)
        assert sample(by_http, "impress_batch_rows_sum") == 0


def test_port_that_another_serves_stops_the_start(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(RuntimeError, match="ended at once"),
            running_service(folder, GRPC_PORT=str(taken.getsockname()[1])),
        ):
            pass


def test_start_says_which_extra_is_missing(folder: Path) -> None:
    # As in an environment without grpc, whose import ends just so.
    start = "sys.modules['grpc'] = None; runpy.run_module('service', run_name='__main__')"
    started = subprocess.run(
        [sys.executable, "-c", f"import runpy, sys; {start}"],
        env={**os.environ, "STORE": str(folder), "GRPC_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 2
    assert "grpc_port is set and grpc is not installed" in started.stderr
    assert ".[grpc]" in started.stderr
