"""An answer's JSON to a dataclass, checked; fields that a newer service adds are passed over."""

from typing import TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from client.errors import UnexpectedAnswer

Shape = TypeVar("Shape")


def answer_as(shape: TypeAdapter[Shape], response: httpx2.Response) -> Shape:
    """The body. Raises `UnexpectedAnswer` where it has another shape."""
    try:
        return shape.validate_json(response.content)
    except ValidationError as error:
        raise _unexpected(error, response.url.path) from error


def value_as(shape: TypeAdapter[Shape], value: object) -> Shape:
    """A part of a body, read already. Raises `UnexpectedAnswer`."""
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        raise _unexpected(error, "the answer") from error


def _unexpected(error: ValidationError, where: str) -> UnexpectedAnswer:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    said = f"{name}: {first['msg']}" if name else first["msg"]
    return UnexpectedAnswer(f"{where}: {said}; is the service of another version?")
