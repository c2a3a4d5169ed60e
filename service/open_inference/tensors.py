"""What the Open Inference Protocol asks for, as no transport knows it: rows, and outputs by name.

No number is believed before it is checked against the others, and nothing is allocated before that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, NoReturn

import numpy as np

from service.engine.registry.entries import Rows
from service.errors import InvalidInput
from service.rows import finite_fp32
from service.settings import MAX_TIMEOUT_MS

OUTPUTS = ("logits", "probabilities", "labels")

DATATYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of an FP32, which numpy has no type for
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
}
"""What rows may come as; numbers are taken as they are, so 255 is not 1."""

_MOST_DIMENSIONS = 8


class WantedOutput(NamedTuple):
    """An output that is asked for; `classes` is how many of the best to name, 0 for the tensor."""

    name: str
    binary: bool = True
    classes: int = 0


EVERY_OUTPUT = {
    binary: tuple(WantedOutput(name, binary) for name in OUTPUTS) for binary in (False, True)
}
"""What is meant where no output is asked for by name."""


@dataclass(slots=True)
class InferCall:
    """What is asked: `[n, row_length]` rows, what to answer, and how long that may take."""

    request_id: str | None
    rows: Rows
    outputs: tuple[WantedOutput, ...]
    timeout_ms: float | None = None
    asked: Mapping[str, object] = field(default_factory=dict)
    """Parameters of meaning where the task is inferred, unchecked."""


def refuse(where: str, expected: str, got: object) -> NoReturn:
    """Raises `InvalidInput` that says so, in bounded length."""
    said = str(got)
    raise InvalidInput(f"{where}: expected {expected}, got {said[:200]}")


def checked_count(datatype: object, shape: object, row_length: int, max_rows: int) -> int:
    """How many rows a tensor of that datatype and shape holds. Raises `InvalidInput`."""
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        refuse("inputs.0.datatype", f"one of {', '.join(DATATYPES)}", datatype)
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= _MOST_DIMENSIONS
        or not all(type(length) is int and length > 0 for length in shape)
        or prod(shape[1:]) != row_length
    ):
        refuse("shape", f"[rows, {row_length}]", shape)
    count: int = shape[0]
    if count > max_rows:
        raise InvalidInput(f"shape: at most {max_rows} rows a request, got {count}")
    return count


def octets_of(datatype: str, count: int, row_length: int) -> int:
    """How many bytes so many rows have."""
    return count * row_length * DATATYPES[datatype].itemsize


def rows_from_octets(
    content: bytes, offset: int, datatype: str, count: int, row_length: int
) -> Rows:
    """Little-endian numbers, row after row, of which the content has as many as it should."""
    values = np.frombuffer(content, DATATYPES[datatype], count * row_length, offset)
    if datatype == "BF16":
        values = (values.astype("<u4") << 16).view("<f4")
    return finite_fp32(values.reshape(count, row_length))


def wanted_output(where: str, name: object, binary: bool, classes: object) -> WantedOutput:
    """An output asked for by name, checked. Raises `InvalidInput`."""
    if not isinstance(name, str) or name not in OUTPUTS:
        refuse(f"{where}.name", f"one of {', '.join(OUTPUTS)}", name)
    if classes is None:
        return WantedOutput(name, binary)
    if type(classes) is not int or classes < 1 or name == "labels":
        refuse(
            f"{where}.parameters.classification", "1 or more, of logits or probabilities", classes
        )
    return WantedOutput(name, binary, classes)


def each_once(outputs: list[WantedOutput]) -> tuple[WantedOutput, ...]:
    """The outputs. Raises `InvalidInput` where two have one name: an answer tells them by it."""
    if len({output.name for output in outputs}) < len(outputs):
        raise InvalidInput("outputs: expected each one once")
    return tuple(outputs)


def timeout_ms_of(microseconds: object) -> float | None:
    """What a request's parameter `timeout` allows; 0 and nothing allow any time."""
    if not microseconds:
        return None
    if type(microseconds) is not int or microseconds < 0:
        refuse("parameters.timeout", "microseconds", microseconds)
    return min(microseconds / 1000, MAX_TIMEOUT_MS)
