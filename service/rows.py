"""JSON and raw bodies to checked rows of numbers. Says what was expected and what came."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from service.errors import InvalidInput, MalformedRequest

# Beyond it a network of bounded coefficients could overflow fp32.
_MAX_MAGNITUDE = 1e6

Model = TypeVar("Model", bound=BaseModel)


def parsed_body(data: bytes, model: type[Model]) -> Model:
    """The body as `model`. Raises `MalformedRequest` for broken JSON, `InvalidInput` otherwise."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"expected a JSON body: {error}") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'the body'}: {one['msg']}"
            for one in error.errors()[:5]
        )
        raise InvalidInput(said) from None


def checked_rows(values: object, row_length: int, max_rows: int) -> NDArray[np.float32]:
    """Nested lists of numbers to `[n, row_length]`, fp32; a row may itself be nested.

    Raises `InvalidInput` where there are no rows, too many, one of another length, or anything
    but finite numbers.
    """
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise InvalidInput(f"inputs: expected a list of rows of {row_length} numbers each")
    if len(values) > max_rows:
        raise InvalidInput(f"inputs: at most {max_rows} rows a request, got {len(values)}")
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        raise InvalidInput(f"inputs: {_uneven(values, row_length)}") from None
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise InvalidInput("inputs: expected numbers only")
    if array.ndim < 2 or array[0].size != row_length:
        got = f"{array[0].size} in a row" if array.ndim > 1 else "numbers without rows"
        raise InvalidInput(f"inputs: expected rows of {row_length} numbers, got {got}")
    return finite_fp32(array.reshape(len(values), row_length))


def raw_rows(data: bytes, row_length: int, max_rows: int) -> NDArray[np.float32]:
    """Little-endian float32, row after row, to `[n, row_length]`. Raises `InvalidInput`."""
    count, rest = divmod(len(data), 4 * row_length)
    if rest or not count:
        raise InvalidInput(
            f"expected rows of {row_length} float32, {4 * row_length} bytes each, got "
            f"{len(data)} bytes"
        )
    if count > max_rows:
        raise InvalidInput(f"at most {max_rows} rows a request, got {count}")
    return finite_fp32(np.frombuffer(data, "<f4").reshape(count, row_length))


def finite_fp32(array: NDArray[np.generic]) -> NDArray[np.float32]:
    """A copy in fp32, of one number or more.

    Raises `InvalidInput` where one is not finite, or is huge.
    """
    if array.dtype == np.float32:
        rows = np.array(array, np.float32)
    else:
        with np.errstate(over="ignore"):
            rows = array.astype(np.float32)
    # Where the squares' sum is small enough each number is, and that is sooner known. Compared so
    # that NaN, which is also the largest, is refused too.
    if (
        not np.vdot(rows, rows) <= _MAX_MAGNITUDE
        and not np.maximum.reduce(np.abs(rows), axis=None) <= _MAX_MAGNITUDE
    ):
        raise InvalidInput(
            f"inputs: expected finite numbers within ±{_MAX_MAGNITUDE:g} (intensities are 0..1)"
        )
    return rows


def _uneven(values: Sequence[object], row_length: int) -> str:
    for index, row in enumerate(values):
        if not isinstance(row, Sequence):
            return f"row {index} is no list; expected {row_length} numbers"
        if len(row) != row_length:
            return f"row {index} has {len(row)} entries; expected {row_length} numbers"
    return f"expected rows of {row_length} numbers"
