"""The Open Inference Protocol as its own client speaks it, unmodified, to a real process."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http.aio as triton_aio
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from model_store.network import FrozenNetwork
from model_store.store import Store
from tests.real_parts import running_service
from tests.service.alike import alike
from tests.service.artifacts import MakeArtifact

ROWS = np.random.default_rng(3).random((3, 20), dtype=np.float32)
CLASSES = ("ant", "bee", "cat", "dog")


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, make_artifact: MakeArtifact
) -> Iterator[str]:
    store = Store.create(tmp_path_factory.mktemp("http") / "store", network)
    for index in range(4):
        store.publish(f"task-{index}", make_artifact(index))
    store.publish("masked", make_artifact(99, kind="supermask"))
    with running_service(Path(str(store.files))) as service:
        yield str(service.base_url).removeprefix("http://")


@pytest.fixture
def client(address: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address) as client:
        yield client


def given(
    rows: np.ndarray, datatype: str, binary: bool, kind: type[InferInput] = InferInput
) -> list[InferInput]:
    tensor = kind("inputs", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def test_client_finds_the_server_and_its_models(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    (version,) = client.get_model_metadata("masked")["versions"]
    assert client.get_model_metadata("masked", version)["inputs"][0]["shape"] == [-1, 20]
    assert client.is_model_ready("masked")
    assert client.is_model_ready("masked", version)
    assert not client.is_model_ready("masked", "1")
    assert not client.is_model_ready("none")


def test_every_mix_of_binary_and_json_gives_the_same_answer(client: InferenceServerClient) -> None:
    expected = client.infer("masked", given(ROWS, "FP32", binary=True)).as_numpy("logits")
    assert expected.shape == (3, 4)
    for binary_in in (True, False):
        for binary_out in (True, False):
            wanted = [
                InferRequestedOutput("labels", binary_data=binary_out),
                InferRequestedOutput("probabilities", binary_data=not binary_out),
                InferRequestedOutput("logits", binary_data=binary_out),
            ]
            inputs = given(ROWS, "FP32", binary_in)
            answer = client.infer("masked", inputs, outputs=wanted, request_id="7")
            assert answer.get_response()["id"] == "7"
            assert np.array_equal(answer.as_numpy("logits"), expected)
            assert answer.as_numpy("probabilities").sum(axis=1) == pytest.approx(np.ones(3))
            labels = [
                label.decode() if isinstance(label, bytes) else label
                for label in answer.as_numpy("labels")
            ]
            assert labels == [CLASSES[index] for index in expected.argmax(axis=1)]


def test_other_number_types_versions_and_auto_are_understood(client: InferenceServerClient) -> None:
    (version,) = client.get_model_metadata("masked")["versions"]
    halves = (ROWS * 4).round() / 4
    expected = client.infer("masked", given(halves, "FP32", binary=True)).as_numpy("logits")
    for dtype, datatype in ((np.float16, "FP16"), (np.float64, "FP64")):
        inputs = given(halves.astype(dtype), datatype, binary=True)
        answer = client.infer("masked", inputs, model_version=version)
        assert np.array_equal(answer.as_numpy("logits"), expected)
    parameters = client.infer("auto", given(ROWS, "FP32", binary=True)).get_response()["parameters"]
    assert "entropy_nats" in parameters


def test_sequence_gathers_rows_over_requests(client: InferenceServerClient) -> None:
    def rows(**said: object) -> object:
        answer = client.infer("auto", given(ROWS[:1], "FP32", binary=True), **said)
        return answer.get_response()["parameters"]["rows"]

    assert [rows(sequence_id="a", sequence_start=True), rows(sequence_id="a"), rows()] == [1, 2, 1]
    assert [rows(sequence_id=7), rows(sequence_id=7, sequence_end=True)] == [1, 2]
    assert rows(sequence_id=7) == 1


def test_refusals_reach_the_client_in_words(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no task 'none'"):
        client.infer("none", given(ROWS, "FP32", binary=True))
    with pytest.raises(InferenceServerException, match=r"expected \[rows, 20\], got \[3, 19\]"):
        client.infer("masked", given(ROWS[:, :19].copy(), "FP32", binary=True))
    wanted = [InferRequestedOutput("embedding")]
    with pytest.raises(InferenceServerException, match="embedding"):
        client.infer("masked", given(ROWS, "FP32", binary=True), outputs=wanted)


def test_repository_lists_loads_and_keeps_tasks(client: InferenceServerClient) -> None:
    index = client.get_model_repository_index()
    assert [model["name"] for model in index] == ["masked", *(f"task-{n}" for n in range(4))]
    (masked, *_) = index
    assert masked["version"] == client.get_model_metadata("masked")["versions"][0]
    assert masked["state"] == "READY"
    client.load_model("masked")
    with pytest.raises(InferenceServerException, match="no task 'none'"):
        client.load_model("none")
    with pytest.raises(InferenceServerException, match="stays in memory"):
        client.unload_model("masked")
    assert client.is_model_ready("masked")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_client_may_compress_and_be_answered_so(
    client: InferenceServerClient, algorithm: str, binary: bool
) -> None:
    rows = np.random.default_rng(4).random((200, 20), dtype=np.float32)
    wanted = [InferRequestedOutput("logits", binary_data=binary)]
    plain = client.infer("masked", given(rows, "FP32", binary), outputs=wanted)
    answer = client.infer(
        "masked",
        given(rows, "FP32", binary),
        outputs=wanted,
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert alike(answer.as_numpy("logits"), plain.as_numpy("logits"))


def test_best_classes_are_named_as_triton_names_them(client: InferenceServerClient) -> None:
    wanted = [InferRequestedOutput("logits", class_count=9), InferRequestedOutput("probabilities")]
    answer = client.infer("masked", given(ROWS, "FP32", binary=True), outputs=wanted)
    best, probabilities = answer.as_numpy("logits"), answer.as_numpy("probabilities")
    assert best.shape == (3, 4)
    for said, row in zip(best, probabilities, strict=True):
        values, indices, labels = zip(*(text.decode().split(":") for text in said), strict=True)
        assert [int(index) for index in indices] == np.argsort(-row).tolist()
        assert [float(value) for value in values] == sorted(map(float, values), reverse=True)
        assert list(labels) == [CLASSES[int(index)] for index in indices]


def test_a_timeout_of_the_request_is_its_deadline(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="time was over") as raised:
        client.infer("masked", given(ROWS, "FP32", binary=True), timeout=1)
    assert raised.value.status() == "504"


@pytest.mark.anyio
async def test_asyncio_client_is_answered_alike(
    address: str, client: InferenceServerClient
) -> None:
    expected = client.infer("masked", given(ROWS, "FP32", binary=True)).as_numpy("logits")
    async with triton_aio.InferenceServerClient(address) as asking:
        assert await asking.is_server_ready()
        assert await asking.is_model_ready("masked")
        assert (await asking.get_model_metadata("masked"))["inputs"][0]["shape"] == [-1, 20]
        assert len(await asking.get_model_repository_index()) == 5
        for binary in (True, False):
            answer = await asking.infer(
                "masked", given(ROWS, "FP32", binary, triton_aio.InferInput), request_id="7"
            )
            assert answer.get_response()["id"] == "7"
            assert alike(answer.as_numpy("logits"), expected)
        found = await asking.infer("auto", given(ROWS, "FP32", True, triton_aio.InferInput))
        assert "entropy_nats" in found.get_response()["parameters"]
        with pytest.raises(InferenceServerException, match="no task 'none'"):
            await asking.infer("none", given(ROWS, "FP32", True, triton_aio.InferInput))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_enough(address: str, client: InferenceServerClient) -> None:
    expected = client.infer("masked", given(ROWS, "FP32", binary=True)).as_numpy("logits")
    tensor = {"name": "inputs", "shape": [3, 20], "datatype": "FP32", "data": ROWS.tolist()}
    wanted = {"inputs": [tensor], "outputs": [{"name": "logits"}]}

    def curl(path: str, *more: str) -> bytes:
        called = ["curl", "-s", "--compressed", f"http://{address}{path}", *more]
        return subprocess.run(called, check=True, capture_output=True).stdout

    (output,) = json.loads(curl("/v2/models/masked/infer", "-d", json.dumps(wanted)))["outputs"]
    assert alike(np.array(output["data"], np.float32), expected.ravel())
    assert len(json.loads(curl("/v2/repository/index", "-X", "POST"))) == 5
    assert json.loads(curl("/v2/models/none"))["error"].endswith("no task 'none'")
