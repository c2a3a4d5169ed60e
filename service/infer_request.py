"""A request of the Open Inference Protocol to checked rows, its tensor in JSON or as raw bytes.

Read by hand: a schema library costs as much as the prediction. No length is believed before it is
checked against the body's own, and nothing is allocated before that.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import numpy as np
import orjson

from service.engine.entries import Rows
from service.errors import InvalidInput, MalformedRequest
from service.rows import checked_rows, finite_fp32

OUTPUTS = ("logits", "probabilities", "labels")

DATATYPES = {
    "FP32": "<f4",
    "FP64": "<f8",
    "FP16": "<f2",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
}
"""What rows may come as; numbers are taken as they are, so 255 is not 1."""

_MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class InferCall:
    """What is asked: `[n, row_length]` rows, and outputs by name, each binary or not."""

    request_id: str | None
    rows: Rows
    outputs: tuple[tuple[str, bool], ...]


def infer_call(
    body: bytes, header_length: bytes | None, row_length: int, max_rows: int
) -> InferCall:
    """The body, whose first `header_length` bytes are JSON; all of them where that is None.

    Raises `MalformedRequest` where lengths or JSON are wrong, `InvalidInput` for anything else.
    """
    json_bytes = len(body) if header_length is None else _json_bytes(header_length, len(body))
    try:
        document = orjson.loads(memoryview(body)[:json_bytes])
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"expected JSON: {error}") from None
    if not isinstance(document, dict):
        _refuse("the body", "an object", document)
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        _refuse("id", "a string", request_id)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        _refuse("inputs", "a list of one tensor", inputs)
    rows = _rows(inputs[0], body, json_bytes, row_length, max_rows)
    return InferCall(request_id, rows, _outputs(document))


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


def _rows(
    tensor: dict[str, Any], body: bytes, json_bytes: int, row_length: int, max_rows: int
) -> Rows:
    if not isinstance(tensor.get("name"), str):
        _refuse("inputs.0.name", "a string", tensor.get("name"))
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        _refuse("inputs.0.datatype", f"one of {', '.join(DATATYPES)}", datatype)
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= _MOST_DIMENSIONS
        or not all(type(length) is int and length > 0 for length in shape)
        or prod(shape[1:]) != row_length
    ):
        _refuse("shape", f"[rows, {row_length}]", shape)
    count: int = shape[0]
    if count > max_rows:
        raise InvalidInput(f"shape: at most {max_rows} rows a request, got {count}")
    parameters = _parameters(tensor, "inputs.0", "binary_data_size")
    size = parameters.get("binary_data_size")
    if size is None:
        if json_bytes != len(body):
            raise MalformedRequest(
                f"{len(body) - json_bytes} bytes follow the JSON, and no input has a "
                "binary_data_size"
            )
        return _rows_from_json(tensor.get("data"), count, row_length, max_rows)
    if "data" in tensor:
        raise InvalidInput("inputs.0: expected data or binary_data_size, got both")
    dtype = np.dtype(DATATYPES[datatype])
    expected = count * row_length * dtype.itemsize
    if type(size) is not int or size != expected:
        _refuse("binary_data_size", f"{expected} for {datatype} {shape}", size)
    if size != len(body) - json_bytes:
        raise MalformedRequest(
            f"binary_data_size says {size} bytes, {len(body) - json_bytes} follow the JSON"
        )
    values = np.frombuffer(body, dtype, count * row_length, json_bytes)
    return finite_fp32(values.reshape(count, row_length))


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


def _outputs(document: dict[str, Any]) -> tuple[tuple[str, bool], ...]:
    parameters = document.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        _refuse("parameters", "an object", parameters)
    # Others are clients' own, as a priority or a sequence, and change nothing here.
    all_binary = (parameters or {}).get("binary_data_output", False)
    if not isinstance(all_binary, bool):
        _refuse("parameters.binary_data_output", "true or false", all_binary)
    wanted = document.get("outputs")
    if wanted is None or wanted == []:
        return tuple((name, all_binary) for name in OUTPUTS)
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        _refuse("outputs", "a list of objects", wanted)
    found = []
    for index, output in enumerate(wanted):
        name = output.get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            _refuse(f"outputs.{index}.name", f"one of {', '.join(OUTPUTS)}", name)
        parameters = _parameters(output, f"outputs.{index}", "binary_data")
        binary = parameters.get("binary_data", all_binary)
        if not isinstance(binary, bool):
            _refuse(f"outputs.{index}.parameters.binary_data", "true or false", binary)
        found.append((name, binary))
    if len({name for name, _ in found}) < len(found):
        raise InvalidInput("outputs: expected each one once")
    return tuple(found)


def _parameters(tensor: dict[str, Any], where: str, known: str) -> dict[str, Any]:
    """What is asked of a tensor; a parameter that cannot be served is refused, not forgotten."""
    parameters = tensor.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict) or parameters.keys() - {known}:
        _refuse(f"{where}.parameters", f"{known} only", parameters)
    return parameters


def _refuse(where: str, expected: str, got: object) -> NoReturn:
    said = str(got)
    raise InvalidInput(f"{where}: expected {expected}, got {said[:200]}")
