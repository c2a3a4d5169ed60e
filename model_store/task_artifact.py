"""One task's artifact: everything that a task adds, as safetensors bytes named by their hash.

Parses bytes from strangers: no pickle, no paths, every length checked before it is believed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, get_args

import safetensors.torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from model_store.coefficient_tensors import COEFFICIENTS
from model_store.errors import CorruptArtifact, StoreError
from model_store.supermask_tensors import is_mask
from model_store.task_record import TaskRecord
from model_store.task_tags import checked_tags
from model_store.tensor_bytes import read_metadata, read_tensors

TaskKind = Literal["coefficients", "hybrid", "supermask"]
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
"""In the order in which task inference takes tasks."""

METADATA_KEY = "impress_task"
"""Under which a safetensors file's metadata hold the record."""

_MOST_PROBLEMS = 20
_LONGEST_PATH = 200


class TaskValues(Protocol):
    """What a task has learned."""

    @property
    def kind(self) -> TaskKind:
        """What its tensors are."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """As the task's artifact has them."""


class TaskArrays(Protocol):
    """The same as numpy has it; or of several tasks of one form, each array stacked."""

    @property
    def kind(self) -> TaskKind:
        """What its tensors are."""

    def array(self, name: str) -> NDArray[Any] | None:
        """The tensor of that name, where there is one."""


class TaskTensors(TaskValues, Protocol):
    """What composing a task's weights takes, wherever it is kept."""

    @property
    def content_hash(self) -> str:
        """Of the task's artifact."""


def kind_of(tensors: Iterable[str]) -> TaskKind:
    """What a task's tensors of these names are."""
    names = set(tensors)
    if COEFFICIENTS not in names:
        return "supermask"
    return "hybrid" if any(map(is_mask, names)) else "coefficients"


@dataclass(frozen=True)
class TaskArtifact:
    """A task: its record, and quantised coefficients, a dedicated supermask, or both.

    Both is a hybrid: coefficients for every layer but the last, a supermask for that one. Where the
    backbone normalises, the task's statistics besides.
    """

    record: TaskRecord
    tensors: Mapping[str, Tensor]

    @property
    def kind(self) -> TaskKind:
        """What its tensors are."""
        return kind_of(self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the tensors alone, without the record."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    @cached_property
    def content(self) -> bytes:
        """The artifact as safetensors bytes; the same artifact always gives the same bytes."""
        # One metadata key only: safetensors keeps several in no fixed order.
        metadata = {METADATA_KEY: self.record.to_text()}
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        return safetensors.torch.save(tensors, metadata)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of `content`, in hexadecimal: the artifact's version."""
        return hashlib.sha256(self.content).hexdigest()


def tagged(artifact: TaskArtifact, tags: Iterable[str]) -> TaskArtifact:
    """The artifact with these tags in place of its own. Raises `ValueError` as `checked_tags`."""
    record = artifact.record.model_copy(update={"tags": checked_tags(tags)})
    return TaskArtifact(record, artifact.tensors)


class ArtifactParts(NamedTuple):
    """What was found in bytes that should be an artifact, and all that is wrong with their form."""

    record: TaskRecord | None
    tensors: Mapping[str, Tensor] | None
    problems: tuple[StoreError, ...]

    def whole(self) -> TaskArtifact:
        """The artifact. Raises the first problem."""
        for problem in self.problems:
            raise problem
        assert self.record is not None
        assert self.tensors is not None
        return TaskArtifact(self.record, self.tensors)


def parse_artifact(data: bytes) -> TaskArtifact:
    """An artifact from bytes. Raises `CorruptArtifact`; values and shapes are not judged here."""
    return artifact_parts(data).whole()


def artifact_parts(data: bytes) -> ArtifactParts:
    """As much of an artifact as safetensors bytes hold; every problem is a `CorruptArtifact`."""
    try:
        tensors = read_tensors(data)
        metadata = read_metadata(data)
    except ValueError as error:
        return ArtifactParts(None, None, (CorruptArtifact(str(error)),))
    problems: list[StoreError] = []
    if set(metadata) != {METADATA_KEY}:
        found = ", ".join(sorted(metadata)) or "none"
        said = f"expected the metadata {METADATA_KEY!r} alone, got {found}"
        problems.append(CorruptArtifact(said[:500]))
    if METADATA_KEY not in metadata:
        return ArtifactParts(None, tensors, tuple(problems))
    try:
        record = TaskRecord.of_text(metadata[METADATA_KEY])
    except ValidationError as error:
        problems += map(CorruptArtifact, record_problems(error))
        return ArtifactParts(None, tensors, tuple(problems))
    if not problems and TaskArtifact(record, tensors).content != data:
        said = "the bytes are not in the canonical form that the trainer writes"
        problems.append(CorruptArtifact(said))
    return ArtifactParts(record, tensors, tuple(problems))


def record_problems(error: ValidationError) -> list[str]:
    """What is wrong with a record, in words, a field each."""
    found = []
    for one in error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]:
        where = ".".join(str(part) for part in one["loc"])[:_LONGEST_PATH] or METADATA_KEY
        found.append(f"the artifact's record: {where}: {one['msg']}"[:500])
    return found
