"""What an artifact says of itself beside its tensors, in a few hundred bytes.

It is JSON with single quotes for double ones and the other way round, since it lies in a JSON
string, where a double one would take two bytes. It holds what serving and making the data again
need, and leaves out what the store or the tensors say already, and whatever is at its default. It
proves nothing: who makes an artifact writes it.
"""

import json
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from model_store.manifest import Manifest, short_fingerprint
from model_store.task_tags import checked_tags

_MAX_CLASSES = 65536
_FINGERPRINTS = 3

_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_ShortFingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


def _printable(name: str) -> str:
    # It goes into terminals, headers of tables and logs.
    if not name.isprintable():
        raise ValueError(f"a class name of printable characters expected, got {name[:80]!r}")
    return name


_ClassName = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]


SWAPPED_QUOTES = str.maketrans({"'": '"', '"': "'"})
"""From a record's text to JSON, and back."""


def _numbered(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def _class_names(found: object) -> object:
    return _numbered(found) if isinstance(found, int) and found <= _MAX_CLASSES else found


def _names_or_count(names: tuple[str, ...]) -> int | list[str]:
    listed = list(names)
    return len(listed) if listed == _numbered(len(listed)) else listed


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MadeFor(_Record):
    """The store that an artifact was made for: the first 16 digits of three fingerprints.

    64 bits tell apart stores that were not made to be confused, and no fingerprint in a stranger's
    file can do more. Three rather than one, so that a refusal says what differs.
    """

    weights: _ShortFingerprint
    preprocessing: _ShortFingerprint
    bank: _ShortFingerprint | None = None
    """None for a dedicated supermask, which uses no bank."""

    @classmethod
    def of(cls, manifest: Manifest, uses_bank: bool) -> Self:
        """What an artifact for the manifest's store says."""
        return cls(
            weights=short_fingerprint(manifest.backbone.fingerprint),
            preprocessing=short_fingerprint(manifest.preprocessing.fingerprint()),
            bank=short_fingerprint(manifest.bank.fingerprint) if uses_bank else None,
        )


def _parted(found: object) -> object:
    if not isinstance(found, str):
        return found
    return dict(zip(MadeFor.model_fields, found.split(" ", _FINGERPRINTS - 1), strict=False))


def _joined(made_for: MadeFor) -> str:
    return " ".join(filter(None, (made_for.weights, made_for.preprocessing, made_for.bank)))


class TaskRecord(_Record):
    """An artifact's record."""

    version: Literal[2] = 2
    classes: Annotated[
        tuple[_ClassName, ...],
        Field(min_length=1, max_length=_MAX_CLASSES),
        BeforeValidator(_class_names),
        PlainSerializer(_names_or_count),
    ]
    """Label names; label i is the backbone's output i. Where label i is called i they are written
    as their number."""
    made_for: Annotated[MadeFor, BeforeValidator(_parted), PlainSerializer(_joined)]
    held_out: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, lt=2**63)]] | None = (
        None
    )
    """How many held-out images the task's network got right, and of how many."""
    tags: Annotated[tuple[str, ...], AfterValidator(checked_tags)] = ()
    """Words by which tasks are chosen, each once and in order."""
    provenance: dict[str, str | _Int64 | float] = Field(default={}, max_length=64)
    """How it was made: its data, and what of the recipe differs from the trainer's defaults."""

    @model_validator(mode="after")
    def _tell_apart(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name is there twice")
        return self

    @model_validator(mode="after")
    def _right_of_all(self) -> Self:
        if self.held_out is not None and self.held_out[0] > self.held_out[1]:
            right, images = self.held_out
            raise ValueError(f"held_out: {right} right of {images} images")
        return self

    @property
    def held_out_accuracy(self) -> float | None:
        """The share of the held-out images that the task's network got right."""
        return None if self.held_out is None else self.held_out[0] / self.held_out[1]

    def to_text(self) -> str:
        """The one text of this record: sorted keys, no spaces, no defaults but the version."""
        said = {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.translate(SWAPPED_QUOTES)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """A record from its text. Raises pydantic's `ValidationError`."""
        return cls.model_validate_json(text.translate(SWAPPED_QUOTES))
