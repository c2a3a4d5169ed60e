"""What artifacts of one form share: their kind, and the name, type, shape and place of each tensor.

Reads very many published artifacts: one like another that was checked whole is not checked again,
but held against that one's form. That its bytes are what was published, their hash has to say.
"""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.compatibility import check_artifact
from model_store.network import FrozenNetwork
from model_store.task_artifact import METADATA_KEY, TaskKind, parse_artifact
from model_store.task_record import SWAPPED_QUOTES
from model_store.task_tags import checked_tags, joined_tags
from model_store.tensor_bytes import read_header, read_json

_MOST_FORMS = 4096
_LONGEST_CLASS_NAME = 256

TENSOR_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype(np.float16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "U16": np.dtype(np.uint16),
    "I32": np.dtype(np.int32),
}


@dataclass(frozen=True)
class TensorPlace:
    """A tensor, and where its bytes begin among those of all the artifact's tensors."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True, eq=False)
class ArtifactLayout:
    """The form of an artifact's tensors. A reader gives artifacts of one form the same object."""

    kind: TaskKind
    tensors: tuple[TensorPlace, ...]

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """Which of the tensors has that name."""
        return {one.name: index for index, one in enumerate(self.tensors)}

    @cached_property
    def tensor_bytes(self) -> int:
        """Of all tensors together."""
        return sum(prod(one.shape) * one.dtype.itemsize for one in self.tensors)


class LaidOut(NamedTuple):
    """An artifact's bytes with their layout."""

    layout: ArtifactLayout
    content_hash: bytes
    """SHA-256, 32 bytes."""
    classes: str
    """As the record has them, in JSON: a list of names, or the number of classes."""
    tags: str
    """As one text; "" where there is none."""
    content: bytes | memoryview
    tensors_start: int
    """Where in `content` the tensors' bytes begin."""

    def tensor(self, place: TensorPlace) -> NDArray[Any]:
        """One of the layout's tensors, over the artifact's own bytes."""
        start, count = self.tensors_start + place.start, prod(place.shape)
        return np.frombuffer(self.content, place.dtype, count, start).reshape(place.shape)


class _Header(NamedTuple):
    form: Hashable
    """All that the header says but for the classes' names, how well it did, tags and provenance."""
    tensors: dict[str, Any]
    classes: int | list[str]
    tags: tuple[str, ...] | None
    """None where they are not what a record may have."""
    tensors_start: int

    @property
    def class_count(self) -> int:
        """0 where the classes are not what a record may have."""
        if isinstance(self.classes, int):
            return self.classes
        names = self.classes
        named = all(0 < len(one) <= _LONGEST_CLASS_NAME and one.isprintable() for one in names)
        return len(names) if named and len(set(names)) == len(names) else 0


class LayoutReader:
    """Lays out artifacts that were made for one network; for one thread at a time."""

    def __init__(self, network: FrozenNetwork) -> None:
        self._network = network
        self._by_form: dict[Hashable, ArtifactLayout] = {}
        self._by_tensors: dict[str, ArtifactLayout] = {}

    def read(self, content: bytes | memoryview, content_hash: bytes) -> LaidOut:
        """Lay out an artifact, or refuse it as `parse_artifact` and `check_artifact` do.

        These two see the first of each form; of those after it only the header is read.
        """
        header = _header(content)
        layout = None if header is None else self._by_form.get(header.form)
        if header is None or layout is None or not self._fits(header, layout, len(content)):
            artifact = parse_artifact(bytes(content))
            check_artifact(self._network, artifact)
            assert header is not None  # as the parser has read it too
            layout = self._remembered(header, artifact.kind)
        named = isinstance(header.classes, list)
        classes = json.dumps(header.classes, ensure_ascii=False) if named else str(header.classes)
        tags = joined_tags(header.tags or ())
        return LaidOut(layout, content_hash, classes, tags, content, header.tensors_start)

    def _remembered(self, header: _Header, kind: TaskKind) -> ArtifactLayout:
        if len(self._by_form) >= _MOST_FORMS:
            self._by_form.clear()
            self._by_tensors.clear()
        layout = ArtifactLayout(kind, _places(header.tensors))
        layout = self._by_tensors.setdefault(repr(header.tensors), layout)
        self._by_form[header.form] = layout
        return layout

    def _fits(self, header: _Header, layout: ArtifactLayout, length: int) -> bool:
        whole = header.tensors_start + layout.tensor_bytes == length
        return (
            whole
            and header.tags is not None
            and 0 < header.class_count <= self._network.manifest.backbone.outputs
        )


@lru_cache(maxsize=1024)
def class_names(said: str) -> tuple[str, ...]:
    """Label names, in the order of the outputs, from what an artifact's record says of them."""
    found = json.loads(said)
    return tuple(map(str, range(found))) if isinstance(found, int) else tuple(found)


def _header(content: bytes | memoryview) -> _Header | None:
    """None where it is not what an artifact's header is."""
    try:
        tensors, start = read_header(content)
        text = tensors.pop("__metadata__")[METADATA_KEY]
        record = read_json(text.translate(SWAPPED_QUOTES))
        classes = record["classes"]
        form = (repr(tensors), repr(record["made_for"]), repr(record["version"]), tuple(record))
        named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
        tags = _tags(record["tags"]) if "tags" in record else ()
        return (
            _Header(form, tensors, classes, tags, start) if named or type(classes) is int else None
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _tags(said: object) -> tuple[str, ...] | None:
    # None at all are left out of a record.
    if not isinstance(said, list) or not said or not all(isinstance(tag, str) for tag in said):
        return None
    tags = tuple(said)
    return tags if _are_tags(tags) else None


@lru_cache(maxsize=4096)
def _are_tags(tags: tuple[str, ...]) -> bool:
    try:
        return checked_tags(tags) == tags
    except ValueError:
        return False


def _places(tensors: dict[str, Any]) -> tuple[TensorPlace, ...]:
    return tuple(
        TensorPlace(
            name, TENSOR_DTYPES[said["dtype"]], tuple(said["shape"]), said["data_offsets"][0]
        )
        for name, said in tensors.items()
    )
