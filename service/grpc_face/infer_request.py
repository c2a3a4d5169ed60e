"""A `ModelInferRequest` to checked rows, its tensor as raw or as typed contents."""

from typing import Any

import numpy as np

from service.engine.registry.entries import Rows
from service.errors import InvalidInput
from service.open_inference.questions import QUESTION
from service.open_inference.tensors import (
    EVERY_OUTPUT,
    InferCall,
    checked_count,
    each_once,
    octets_of,
    refuse,
    rows_from_octets,
    timeout_ms_of,
    wanted_output,
)
from service.rows import finite_fp32

_CONTENTS = {
    "FP32": ("fp32_contents", "f4"),
    "FP64": ("fp64_contents", "f8"),
    "INT8": ("int_contents", "i4"),
    "INT16": ("int_contents", "i4"),
    "INT32": ("int_contents", "i4"),
    "INT64": ("int64_contents", "i8"),
    "UINT8": ("uint_contents", "u4"),
    "UINT16": ("uint_contents", "u4"),
    "UINT32": ("uint_contents", "u4"),
    "UINT64": ("uint64_contents", "u8"),
}
"""The field of typed contents, and its numbers; the protocol has none for halves."""


def infer_call(request: Any, row_length: int, max_rows: int) -> InferCall:
    """What a request asks for. Raises `InvalidInput`."""
    if len(request.inputs) != 1:
        refuse("inputs", "one tensor", len(request.inputs))
    parameters = request.parameters
    timeout = _value(parameters["timeout"]) if "timeout" in parameters else None
    return InferCall(
        request.id or None,
        _rows(request.inputs[0], request.raw_input_contents, row_length, max_rows),
        _outputs(request.outputs) if request.outputs else EVERY_OUTPUT[True],
        timeout_ms_of(timeout),
        {name: _value(parameters[name]) for name in QUESTION if name in parameters},
    )


def _rows(tensor: Any, raw: Any, row_length: int, max_rows: int) -> Rows:
    datatype, shape = tensor.datatype, list(tensor.shape)
    count = checked_count(datatype, shape, row_length, max_rows)
    _refuse_others(tensor, "inputs.0")
    if not raw:
        return _rows_from_contents(tensor, count, row_length)
    if tensor.HasField("contents"):
        raise InvalidInput("inputs.0: expected contents or raw_input_contents, got both")
    if len(raw) != 1:
        refuse("raw_input_contents", "the bytes of one tensor", f"those of {len(raw)}")
    (content,) = raw
    expected = octets_of(datatype, count, row_length)
    if len(content) != expected:
        refuse("raw_input_contents", f"{expected} bytes for {datatype} {shape}", len(content))
    return rows_from_octets(content, 0, datatype, count, row_length)


def _rows_from_contents(tensor: Any, count: int, row_length: int) -> Rows:
    if tensor.datatype not in _CONTENTS:
        raise InvalidInput(f"inputs.0: expected {tensor.datatype} in raw_input_contents, got none")
    field, dtype = _CONTENTS[tensor.datatype]
    numbers = getattr(tensor.contents, field)
    if len(numbers) != count * row_length:
        refuse(f"inputs.0.contents.{field}", f"{count * row_length} numbers", len(numbers))
    values = np.fromiter(numbers, np.dtype(dtype), len(numbers))
    return finite_fp32(values.reshape(count, row_length))


def _outputs(wanted: Any) -> Any:
    found = []
    for index, output in enumerate(wanted):
        where = f"outputs.{index}"
        _refuse_others(output, where, "classification")
        asked = output.parameters
        classes = _value(asked["classification"]) if "classification" in asked else None
        found.append(wanted_output(where, output.name, True, classes))
    return each_once(found)


def _refuse_others(described: Any, where: str, *known: str) -> None:
    """What is asked of a tensor and cannot be served is refused, not forgotten."""
    if others := sorted(described.parameters.keys() - set(known)):
        refuse(f"{where}.parameters", " or ".join(known) or "none", ", ".join(others))


def _value(parameter: Any) -> object:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)
