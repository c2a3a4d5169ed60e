"""What goes over the wire about tasks, as the documentation shows it and as bodies are checked."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field

from model_store.task_artifact import TaskKind
from service.schemas import TAGS_TEXT, Wire

_TASK = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_HASH = r"^[0-9a-f]{64}$"


class TaskSummary(Wire):
    """A task as the list shows it."""

    task: str
    version: str
    """Content hash of its artifact."""
    kind: TaskKind
    """Coefficients over the bank, a supermask, or a hybrid: a supermask of its own in the last
    layer and coefficients in all others."""
    rows_predicted: int
    """By this process, since it started or the task was replaced."""
    tags: tuple[str, ...]
    """In order; of its artifact's record."""


class TaskList(Wire):
    """A page of tasks, in order of their names."""

    tasks: list[TaskSummary]
    next_cursor: str | None
    """Pass it as `cursor` for the next page; null on the last."""


class CanaryShare(Wire):
    """The version that answers a share of a task's requests, the same ones each time."""

    version: str
    share: float
    rows_predicted: int
    """Of those, by this process."""


class TaskDetails(TaskSummary):
    """One task, or a version of it."""

    classes: tuple[str, ...]
    artifact_bytes: int
    """Size of the whole artifact."""
    tensor_bytes: int
    """Size of its coefficients or mask alone."""
    held_out_accuracy: float | None
    provenance: dict[str, str | int | float]
    """Its data, and what of its recipe differs from the trainer's defaults; empty, as the accuracy
    is null, where this version is gone from the store."""
    last_predicted: datetime | None
    """When this process last predicted with it, to the second."""
    composed: bool
    """Whether this process has its composed weights at hand."""
    canary: CanaryShare | None
    """Of the task."""


class TaskVersion(Wire):
    """One version of a task."""

    version: str
    live: bool
    """Whether it answers whoever names the task alone."""
    canary_share: float | None
    """The share of those requests that it answers in place of the live one."""


class TaskVersions(Wire):
    """All versions of a task: the live one last, before it the one kept latest."""

    task: str
    versions: list[TaskVersion]


class AliasTarget(Wire):
    """Where an alias is moved to."""

    version: str = Field(pattern=_HASH)
    """Content hash of one of the task's versions."""


class CanaryTarget(AliasTarget):
    """A version, and how much it answers."""

    share: float = Field(gt=0, le=1)
    """Of the requests that name the task alone; the same ones each time."""


class Alias(Wire):
    """Where an alias is."""

    task: str
    alias: Literal["production", "canary"]
    version: str
    share: float | None
    """Null for production, which has the rest."""


class ArtifactReport(Wire):
    """Whether an artifact could be uploaded."""

    valid: bool
    version: str | None
    """The content hash that it would have; null where it cannot serve."""
    kind: TaskKind | None
    problems: list[str]
    """Everything that is wrong with it."""


class TaskWarmth(Wire):
    """What came of warming a task up."""

    task: str
    version: str
    composed: bool
    """Whether its composed weights are at hand now: they are not where what fills the cache is
    asked for as often. It answers either way."""


_TAG = r'(W/)?("[!#-+\--~]*"|[!#-+\--~]+)'
_TAGS = rf"^(\*|{_TAG}(, ?{_TAG})*)$"

TagsQuery = Annotated[
    str, Query(json_schema_extra={"pattern": TAGS_TEXT}, description="Tags, comma-separated.")
]
TaskPath = Annotated[str, Path(json_schema_extra={"pattern": _TASK})]
TaskNames = Annotated[list[Annotated[str, Field(pattern=_TASK)]], Field(max_length=100)]
VersionPath = Annotated[str, Path(json_schema_extra={"pattern": _HASH})]
"""Documented, and checked where they are used, so that what is wrong is said as everywhere else."""


def _header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": _TAGS, "maxLength": 4096}
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": schema,
        "description": description,
    }


_NONE_MATCH = _header("If-None-Match", "An entity tag: 304 where the version is that one.")

CONDITIONS: dict[str, Any] = {
    "parameters": [
        _header("If-Match", "An entity tag: 412 where the task is at another version."),
        _header("If-None-Match", "`*`: 412 where the task exists."),
    ]
}
READ_CONDITIONS: dict[str, Any] = {"parameters": [_NONE_MATCH]}
"""The `openapi_extra` of a route that reads these itself."""

UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is that version still."}}
