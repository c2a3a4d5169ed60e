"""What goes over the wire, as the documentation shows it and as bodies are checked."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.engine.task_identifier import Method


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class PredictRequest(_Wire):
    """Rows to predict on; without a task the service infers it."""

    task: str | None = None
    """The task's name. Left out, the task of all rows together is inferred."""
    inputs: Any
    """A list of rows; a row is the pixels' intensities in 0..1, channels first, row-major."""
    method: Method = "short-list"
    """How to infer the task; without meaning where the task is given."""


class LabelledProbability(_Wire):
    """One row's answer."""

    label: str
    probability: float


class CandidateEntropy(_Wire):
    """A task that was considered."""

    task: str
    entropy_nats: float
    """Mean over the rows of the entropy of the task's own answer."""


class Inference(_Wire):
    """How the task was inferred."""

    method: Method
    entropy_nats: float
    """Of the best candidate."""
    margin_nats: float
    """How much more the runner-up's entropy is."""
    candidates: list[CandidateEntropy]
    """The best few, best first."""
    abstained: bool
    """True where the margin is below the operator's threshold: there are no predictions then."""


class PredictResponse(_Wire):
    """The answer for all rows, in their order."""

    task: str | None
    """Null where the service abstained."""
    version: str | None
    """Content hash of the artifact that answered."""
    predictions: list[LabelledProbability] | None
    inference: Inference | None = None
    """Only where the task was inferred."""


class TaskSummary(_Wire):
    """A task as the list shows it."""

    task: str
    version: str
    """Content hash of its artifact."""
    kind: Literal["coefficients", "supermask"]


class TaskList(_Wire):
    """A page of tasks, in order of their names."""

    tasks: list[TaskSummary]
    next_cursor: str | None
    """Pass it as `cursor` for the next page; null on the last."""


class TaskDetails(TaskSummary):
    """One task."""

    classes: tuple[str, ...]
    artifact_bytes: int
    """Size of the whole artifact."""
    tensor_bytes: int
    """Size of its coefficients or mask alone."""
    held_out_accuracy: float | None
    provenance: dict[str, str | int | float]
    rows_predicted: int
    """By this process, since it started or the task was replaced."""


class TensorRequest(BaseModel):
    """One input of the Open Inference Protocol."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str
    data: Any


class RequestedOutput(BaseModel):
    """An output asked for by name."""

    name: str


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol V2."""

    id: str | None = None
    inputs: list[TensorRequest] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = None


class TensorResponse(BaseModel):
    """One output of the Open Inference Protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferResponse(BaseModel):
    """A response of the Open Inference Protocol V2."""

    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, str | float | bool] | None = None
    outputs: list[TensorResponse]


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with `error` for clients of the Open Inference Protocol."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    error: str


def body_schema(*content: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself, by content type."""
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": s} for kind, s in content}}
    }


BINARY: dict[str, Any] = {"type": "string", "format": "binary"}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request cannot be served; `detail` says why."},
    "5XX": {"model": Problem, "description": "The service cannot serve now; see Retry-After."},
}
