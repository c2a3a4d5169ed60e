"""A file with something to predict on: a picture, a .npy array, raw float32, or a JSON sample.

Told apart by how they begin. Nothing in a file is run: no pickles, in .npy neither.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.errors import InvalidInput
from client.inputs import Inputs, picture_of, rows_of
from client.results import Floats

_RAW_SUFFIXES = (".f32", ".bin", ".raw")
_KNOWN = "PNG, JPEG, .npy, .f32 (raw little-endian float32) or JSON"


@dataclass(frozen=True)
class Sample:
    """What is to be predicted on, and the task that the file names, if it names one."""

    inputs: Inputs
    task: str | None = None


def read_sample(path: Path, row_length: Callable[[], int]) -> Sample:
    """The file's content; `row_length` is asked only for raw numbers. Raises `InvalidInput`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    try:
        return _sample(content, path.suffix.lower(), row_length)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None


def _sample(content: bytes, suffix: str, row_length: Callable[[], int]) -> Sample:
    picture = picture_of(content)
    if picture is not None:
        return Sample(picture)
    if content.startswith(b"\x93NUMPY"):
        try:
            return Sample(rows_of(np.lib.format.read_array(io.BytesIO(content))))
        except ValueError as error:
            raise InvalidInput(str(error)) from None
    if suffix in _RAW_SUFFIXES:
        return Sample(_raw(content, row_length()))
    if content.lstrip()[:1] in (b"{", b"["):
        return _from_json(content)
    return Sample(_other_picture(content))


def _raw(content: bytes, row_length: int) -> Floats:
    count, rest = divmod(len(content), 4 * row_length)
    if rest or not count:
        raise InvalidInput(
            f"expected rows of {row_length} float32, {4 * row_length} bytes each, got "
            f"{len(content)} bytes"
        )
    return rows_of(np.frombuffer(content, "<f4").reshape(count, row_length))


def _from_json(content: bytes) -> Sample:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise InvalidInput(f"expected JSON: {error}") from None
    if isinstance(document, list):
        return Sample(rows_of(document))
    unknown = document.keys() - {"task", "inputs"}
    if unknown or "inputs" not in document:
        raise InvalidInput(
            f"expected a list of rows, or inputs and perhaps a task, got {', '.join(document)}"
        )
    inputs, task = document["inputs"], document.get("task")
    if not isinstance(inputs, list) or not isinstance(task, str | None):
        raise InvalidInput("expected inputs to be a list of rows, and task a name")
    return Sample(rows_of(inputs), task)


def _other_picture(content: bytes) -> Inputs:
    try:
        from PIL import Image
    except ImportError:
        raise InvalidInput(f"expected {_KNOWN}; with Pillow installed also other images") from None
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidInput(f"expected {_KNOWN}, or another image") from None
    return image
