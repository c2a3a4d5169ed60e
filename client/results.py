"""What the client answers, as frozen dataclasses with the names that the wire has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that was considered, how probable it is, and how uncertain its own answer is."""

    task: str
    probability: float
    entropy_nats: float


@dataclass(frozen=True, slots=True)
class Inference:
    """How the service found the task of a request that did not name it."""

    method: str
    entropy_nats: float
    """Of the best candidate, mean over the rows."""
    margin_nats: float
    """How much more the runner-up's is."""
    abstained: bool
    """True where that was too little to name a task: then there are no labels."""
    confidence: float | None = None
    """How probable the best candidate is."""
    strangeness: float | None = None
    """How far the rows are from what it knows as its own, in standard deviations; None where it
    brought nothing to tell by."""
    rows: int | None = None
    """How many it rests on: the call's, and those of its session before it."""
    candidates: tuple[Candidate, ...] = ()
    """The best few, best first; only `predict` has them."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A label for each row, and its probability; neither where the service abstained."""

    task: str | None
    version: str | None
    """Content hash of the artifact that answered."""
    labels: tuple[str, ...]
    probabilities: Floats
    """`[n]`: of each row's label."""
    inference: Inference | None = None
    """Only where no task was named."""


@dataclass(frozen=True, slots=True)
class RowPrediction:
    """One row's answer where each is a question of its own; all None where it abstained."""

    task: str | None
    version: str | None
    label: str | None
    probability: float | None
    inference: Inference


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """Every class's probability for each row; no rows where the service abstained."""

    task: str | None
    version: str | None
    labels: tuple[str, ...]
    """The most probable class of each row."""
    values: Floats
    """`[n, C]`, classes in the task's order."""
    inference: Inference | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task, as the list shows it."""

    task: str
    version: str
    kind: str
    rows_predicted: int
    """By the process that was asked, since it started or the task was replaced."""
    tags: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some tasks in order of their names; `next_cursor` is None on the last page."""

    tasks: tuple[Task, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class TaskDetails(Task):
    """One task, and how much it was used."""

    classes: tuple[str, ...]
    artifact_bytes: int
    tensor_bytes: int
    held_out_accuracy: float | None
    provenance: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A task that was uploaded."""

    task: TaskDetails
    created: bool
    """False where it replaced another version."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a task, named by its content's hash."""

    version: str
    live: bool
    """Whether it answers whoever names the task alone."""
    canary_share: float | None = None
    """The share of those requests that it answers in place of the live one."""


@dataclass(frozen=True, slots=True)
class VersionList:
    """A task's versions: the live one last, before it the one kept latest."""

    task: str
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """Which version answers under an alias, and of a canary how much."""

    task: str
    alias: str
    version: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What an upload would come to; nothing was changed."""

    valid: bool
    version: str | None
    """The content hash that it would have."""
    kind: str | None
    problems: tuple[str, ...] = ()
    """All that is wrong."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What came of warming a task up."""

    task: str
    version: str
    composed: bool
    """Whether its composed weights are at hand now."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server this is."""

    name: str
    version: str
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service takes requests; where it does not, `because` says why."""

    ready: bool
    because: str | None = None
    tasks: int | None = None
    store: str | None = None
    version: str | None = None
    """The same on replicas that serve the same versions of the same tasks."""
    damaged_tasks: Mapping[str, str] = field(default_factory=dict)
    redis: str | None = None
