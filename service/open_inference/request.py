"""A request of the Open Inference Protocol to checked rows, its tensor in JSON or as raw bytes.

Read by hand: a schema library costs as much as the prediction. No length is believed before it is
checked against the body's own, and nothing is allocated before that.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from service.engine.registry.entries import Rows
from service.errors import InvalidInput, MalformedRequest
from service.open_inference.questions import QUESTION
from service.open_inference.tensors import (
    EVERY_OUTPUT,
    InferCall,
    WantedOutput,
    checked_count,
    each_once,
    octets_of,
    refuse,
    rows_from_octets,
    timeout_ms_of,
    wanted_output,
)
from service.rows import checked_rows

_MOST_REMEMBERED_BYTES = 1024

_INPUT_PARAMETERS = frozenset({"binary_data_size"})
_OUTPUT_PARAMETERS = frozenset({"binary_data", "classification"})


class _Head(NamedTuple):
    """What the JSON says; `size` is None where it has the rows too, as `data`."""

    request_id: str | None
    outputs: tuple[WantedOutput, ...]
    timeout_ms: float | None
    datatype: str
    row_count: int
    size: int | None
    data: object
    asked: dict[str, object]
    """Of task inference, unchecked."""


def infer_call(
    body: bytes, header_length: bytes | None, row_length: int, max_rows: int
) -> InferCall:
    """The body, whose first `header_length` bytes are JSON; all of them where that is None.

    Raises `MalformedRequest` where lengths or JSON are wrong, `InvalidInput` for anything else.
    """
    json_bytes = len(body) if header_length is None else _json_bytes(header_length, len(body))
    read = _head_again if json_bytes <= _MOST_REMEMBERED_BYTES else _head
    head = read(body[:json_bytes], row_length, max_rows)
    following = len(body) - json_bytes
    if head.size is None:
        if following:
            raise MalformedRequest(
                f"{following} bytes follow the JSON, and no input has a binary_data_size"
            )
        rows = _rows_from_json(head.data, head.row_count, row_length, max_rows)
    else:
        if head.size != following:
            raise MalformedRequest(
                f"binary_data_size says {head.size} bytes, {following} follow the JSON"
            )
        rows = rows_from_octets(body, json_bytes, head.datatype, head.row_count, row_length)
    return InferCall(head.request_id, rows, head.outputs, head.timeout_ms, head.asked)


def _head(content: bytes, row_length: int, max_rows: int) -> _Head:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"expected JSON: {error}") from None
    if not isinstance(document, dict):
        refuse("the body", "an object", document)
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        refuse("id", "a string", request_id)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        refuse("inputs", "a list of one tensor", inputs)
    tensor = inputs[0]
    if not isinstance(tensor.get("name"), str):
        refuse("inputs.0.name", "a string", tensor.get("name"))
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    count = checked_count(datatype, shape, row_length, max_rows)
    assert isinstance(datatype, str)
    size = _parameters(tensor, "inputs.0", _INPUT_PARAMETERS).get("binary_data_size")
    if size is not None:
        if "data" in tensor:
            raise InvalidInput("inputs.0: expected data or binary_data_size, got both")
        expected = octets_of(datatype, count, row_length)
        if type(size) is not int or size != expected:
            refuse("binary_data_size", f"{expected} for {datatype} {shape}", size)
    # Others are clients' own, as a priority, and change nothing here.
    parameters = document.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        refuse("parameters", "an object", parameters)
    outputs, timeout_ms = _outputs(document, parameters), timeout_ms_of(parameters.get("timeout"))
    asked = {name: parameters[name] for name in QUESTION if name in parameters}
    data = tensor.get("data")
    return _Head(request_id, outputs, timeout_ms, datatype, count, size, data, asked)


_head_again = lru_cache(maxsize=1024)(_head)
"""Clients send the same one with rows that differ, and reading it costs as much as predicting."""


def _json_bytes(header_length: bytes, body_bytes: int) -> int:
    if len(header_length) > 20 or not header_length.isdigit():
        said = header_length[:40].decode("latin-1")
        raise MalformedRequest(
            f"Inference-Header-Content-Length: expected a number of bytes, got {said!r}"
        )
    json_bytes = int(header_length)
    if json_bytes > body_bytes:
        raise MalformedRequest(
            f"Inference-Header-Content-Length: {json_bytes} bytes of a body of {body_bytes}"
        )
    return json_bytes


def _rows_from_json(data: object, count: int, row_length: int, max_rows: int) -> Rows:
    if not isinstance(data, list) or not data:
        raise InvalidInput("data: expected a list of numbers, or a binary_data_size")
    if isinstance(data[0], list):
        rows = checked_rows(data, row_length, max_rows)
        if len(rows) != count:
            raise InvalidInput(f"data: the shape says {count} rows, got {len(rows)}")
        return rows
    if len(data) != count * row_length:
        raise InvalidInput(f"data: the shape says {count * row_length} numbers, got {len(data)}")
    return checked_rows([data], len(data), 1).reshape(count, row_length)


def _outputs(document: dict[str, Any], parameters: dict[str, Any]) -> tuple[WantedOutput, ...]:
    all_binary = parameters.get("binary_data_output", False)
    if not isinstance(all_binary, bool):
        refuse("parameters.binary_data_output", "true or false", all_binary)
    wanted = document.get("outputs")
    if wanted is None or wanted == []:
        return EVERY_OUTPUT[all_binary]
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        refuse("outputs", "a list of objects", wanted)
    found = []
    for index, output in enumerate(wanted):
        where = f"outputs.{index}"
        own = _parameters(output, where, _OUTPUT_PARAMETERS)
        binary = own.get("binary_data")
        if binary is None:
            binary = all_binary
        if not isinstance(binary, bool):
            refuse(f"{where}.parameters.binary_data", "true or false", binary)
        found.append(wanted_output(where, output.get("name"), binary, own.get("classification")))
    return each_once(found)


def _parameters(tensor: dict[str, Any], where: str, known: frozenset[str]) -> dict[str, Any]:
    """What is asked of a tensor; a parameter that cannot be served is refused, not forgotten."""
    parameters = tensor.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict) or parameters.keys() - known:
        refuse(f"{where}.parameters", f"{' or '.join(sorted(known))} only", parameters)
    return parameters
