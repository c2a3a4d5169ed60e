"""A task artifact written as JSON, for whoever has no safetensors at hand. Writes none itself.

`{"record": {...}, "tensors": {NAME: {"dtype": "F16", "shape": [N], "data": [numbers]}}}`, where the
record has the fields of `TaskRecord`. It becomes the one artifact in bytes, which its hash is of.
"""

import json
from math import prod
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from model_store.artifact_layout import TENSOR_DTYPES
from model_store.errors import CorruptArtifact, InvalidArtifact, StoreError
from model_store.task_artifact import ArtifactParts, record_problems
from model_store.task_record import TaskRecord

_MOST_AXES = 8
_LARGEST_AXIS = 1 << 32
_MOST_TENSORS = 1024
_FIELDS = {"dtype", "shape", "data"}


def parts_of_json(data: bytes) -> ArtifactParts:
    """As much of an artifact as the JSON holds, with all that is wrong with it.

    What is no JSON, or says a key twice, is a `CorruptArtifact`; all else an `InvalidArtifact`.
    """
    try:
        document = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        said = f"expected an artifact as JSON: {error}"[:500]
        return ArtifactParts(None, None, (CorruptArtifact(said),))
    if not isinstance(document, dict) or document.keys() != {"record", "tensors"}:
        said = "expected an object with record and tensors alone"
        return ArtifactParts(None, None, (InvalidArtifact(said),))
    problems: list[StoreError] = []
    record = _record(document["record"], problems)
    tensors = _tensors(document["tensors"], problems)
    return ArtifactParts(record, tensors, tuple(problems))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _record(said: object, problems: list[StoreError]) -> TaskRecord | None:
    try:
        return TaskRecord.model_validate_json(json.dumps(said))
    except ValidationError as error:
        problems += map(InvalidArtifact, record_problems(error))
        return None
    except RecursionError:
        problems.append(InvalidArtifact("the artifact's record: nested too deeply"))
        return None


def _tensors(said: object, problems: list[StoreError]) -> dict[str, Tensor] | None:
    if not isinstance(said, dict) or len(said) > _MOST_TENSORS:
        problems.append(InvalidArtifact(f"tensors: expected an object of {_MOST_TENSORS} or fewer"))
        return None
    tensors: dict[str, Tensor] = {}
    for name, one in said.items():
        try:
            tensors[name] = _tensor(one)
        except ValueError as error:
            problems.append(InvalidArtifact(f"{name[:80]}: {error}"[:500]))
    return tensors if len(tensors) == len(said) else None


def _tensor(said: object) -> Tensor:
    if not isinstance(said, dict) or said.keys() != _FIELDS:
        raise ValueError("expected an object with dtype, shape and data alone")
    shape, numbers = said["shape"], said["data"]
    if not isinstance(said["dtype"], str) or said["dtype"] not in TENSOR_DTYPES:
        known = ", ".join(TENSOR_DTYPES)
        raise ValueError(f"dtype: expected one of {known}, got {str(said['dtype'])[:40]!r}")
    dtype = TENSOR_DTYPES[said["dtype"]]
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(map(_is_length, shape)):
        raise ValueError(f"shape: expected up to {_MOST_AXES} lengths, got {str(shape)[:80]}")
    if not isinstance(numbers, list) or not set(map(type, numbers)) <= {int, float}:
        raise ValueError("data: expected a flat list of numbers")
    if prod(shape) != len(numbers):
        raise ValueError(f"data: expected {prod(shape)} numbers for {shape}, got {len(numbers)}")
    return torch.from_numpy(_converted(numbers, dtype).reshape(shape))


def _is_length(said: object) -> bool:
    return type(said) is int and 0 <= said < _LARGEST_AXIS


def _converted(numbers: list[float], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Numbers in a tensor's type: whole ones as they are, others rounded to the nearest."""
    try:
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                found = np.array(numbers, np.float64).astype(dtype)
            if not np.isfinite(found).all():
                raise ValueError(f"data: expected finite {dtype} numbers")
            return found
        if float in set(map(type, numbers)):
            raise ValueError(f"data: expected whole numbers for {dtype}")
        return np.array(numbers, dtype)
    except OverflowError as error:
        raise ValueError(f"data: a number is out of bounds for {dtype}") from error
