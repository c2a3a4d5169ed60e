import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.binary_tensors import HEADER_LENGTH, decoded, encoded
from client.errors import UnexpectedAnswer
from model_store.network import FrozenNetwork
from service.open_inference.request import infer_call

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
LABELS = ("ant", "größe")


def answer(
    shape: tuple[int, ...] = (2, 3), size: int | None = None, datatype: str = "FP32"
) -> tuple[bytes, str]:
    texts = [label.encode() for label in LABELS]
    labels = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    numbers = VALUES.tobytes()
    outputs = [
        {
            "name": "probabilities",
            "shape": shape,
            "datatype": datatype,
            "parameters": {"binary_data_size": len(numbers) if size is None else size},
        },
        {
            "name": "labels",
            "shape": [2],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(labels)},
        },
    ]
    head = json.dumps({"model_name": "t", "outputs": outputs}).encode()
    return head + numbers + labels, str(len(head))


def test_numbers_and_texts_come_back_as_they_were_sent() -> None:
    document, tensors = decoded(*answer())
    assert document["model_name"] == "t"
    assert np.array_equal(tensors["probabilities"], VALUES)
    assert tensors["labels"] == LABELS


def test_what_is_sent_is_what_the_service_reads(network: FrozenNetwork) -> None:
    rows = np.random.default_rng(1).random((3, 20), dtype=np.float32)
    content, headers = encoded(rows, ("probabilities", "labels"))
    call = infer_call(content, headers[HEADER_LENGTH].encode(), 20, 3)
    assert np.array_equal(call.rows, rows)
    assert [(one.name, one.binary) for one in call.outputs] == [
        ("probabilities", True),
        ("labels", True),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        answer(shape=(2, 4)),
        answer(size=20),
        answer(size=28),
        answer(size=-1),
        answer(size=10**12),
        answer(datatype="FP16"),
        (answer()[0], "x"),
        (answer()[0] + b"\0", answer()[1]),
        (b"{}", "2"),
        (b'{"outputs": [{}]}', None),
        (b'{"outputs": 3}', None),
        (b"", None),
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(broken: tuple[bytes, str | None]) -> None:
    with pytest.raises(UnexpectedAnswer):
        decoded(*broken)


@given(st.data())
def test_damaged_bytes_are_refused_or_read_and_never_anything_else(data: st.DataObject) -> None:
    content, length = answer()
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        decoded(bytes(damaged[:cut]), length)
    except UnexpectedAnswer:
        return
