"""The Open Inference Protocol as its own client speaks it, unmodified, to a real process."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from model_store.store import Store
from tests.real_parts import running_service

ROWS = np.random.default_rng(3).random((3, 20), dtype=np.float32)
CLASSES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def client(store: Store) -> Iterator[InferenceServerClient]:
    with running_service(Path(str(store.files))) as service:
        client = InferenceServerClient(str(service.base_url).removeprefix("http://"))
        yield client
        client.close()


def given(rows: np.ndarray, datatype: str, binary: bool) -> list[InferInput]:
    tensor = InferInput("inputs", list(rows.shape), datatype)
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


def test_refusals_reach_the_client_in_words(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no task 'none'"):
        client.infer("none", given(ROWS, "FP32", binary=True))
    with pytest.raises(InferenceServerException, match=r"expected \[rows, 20\], got \[3, 19\]"):
        client.infer("masked", given(ROWS[:, :19].copy(), "FP32", binary=True))
    wanted = [InferRequestedOutput("embedding")]
    with pytest.raises(InferenceServerException, match="embedding"):
        client.infer("masked", given(ROWS, "FP32", binary=True), outputs=wanted)
