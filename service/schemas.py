"""What goes over the wire, as the documentation shows it and as bodies are checked."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.engine.inference.identification import Method
from service.open_inference.schemas import IndexRequest, InferRequest, LoadRequest
from service.settings import MAX_TIMEOUT_MS


class Wire(BaseModel):
    """Its fields and no others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


# Rows are checked after parsing, where numpy can; this is for the documentation.
_ROWS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "array", "items": {"type": "number"}},
}


class PredictRequest(Wire):
    """Rows to predict on; without a task the service infers it."""

    task: str | None = None
    """The task's name. Left out, the task of all rows together is inferred."""
    version: str | None = None
    """Of the task, by its content hash. Left out, the live one answers, or the task's canary."""
    inputs: Any = Field(json_schema_extra=_ROWS)
    """A list of rows; a row is the pixels' intensities in 0..1, channels first, row-major."""
    method: Method = "auto"
    """How to infer the task; without meaning where the task is given."""


class LabelledProbability(Wire):
    """One row's answer."""

    label: str
    probability: float


class CandidateEntropy(Wire):
    """A task that was considered."""

    task: str
    entropy_nats: float
    """Mean over the rows of the entropy of the task's own answer."""


class Inference(Wire):
    """How the task was inferred."""

    method: Method
    entropy_nats: float
    """Of the best candidate."""
    margin_nats: float
    """How far the runner-up is behind: by `auto` with evidence in log-odds, else in entropy."""
    confidence: float
    """How probable the best candidate is, by the evidence that tasks brought and the entropies."""
    strangeness: float | None
    """How far the rows are from what the best candidate knows as its own, in standard deviations;
    null where it brought no evidence, or was not asked for it."""
    candidates: list[CandidateEntropy]
    """The best few, best first."""
    abstained: bool
    """True where the margin is below the operator's threshold, or the strangeness above it: there
    are no predictions then."""


class PredictResponse(Wire):
    """The answer for all rows, in their order."""

    task: str | None
    """Null where the service abstained."""
    version: str | None
    """Content hash of the artifact that answered."""
    predictions: list[LabelledProbability] | None
    inference: Inference | None = None
    """Only where the task was inferred."""


class TensorJson(Wire):
    """A tensor in JSON."""

    dtype: Literal["F16", "I8", "U8", "U16", "I32"]
    shape: list[int]
    data: list[float]
    """Row after row, without nesting; whole numbers but for F16, which others are rounded to."""


class ArtifactJson(Wire):
    """A task artifact in JSON: the fields that the safetensors file has."""

    record: dict[str, Any]
    """Its version, classes and `made_for`, and `held_out` and `provenance` where they are known."""
    tensors: dict[str, TensorJson]


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with `error` for clients of the Open Inference Protocol."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    error: str


REQUEST_MODELS: tuple[type[BaseModel], ...] = (
    PredictRequest,
    ArtifactJson,
    InferRequest,
    IndexRequest,
    LoadRequest,
)


def body_schema(*content: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself, by content type."""
    by_type = {kind: {"schema": schema} for kind, schema in content}
    return {"requestBody": {"required": True, "content": by_type}}


def optional_body_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The same for JSON that may be left out."""
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": False, "content": content}}


_TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_MS},
    "description": "How long the answer may take; what would be late is refused at once.",
}
_RAW_OUTPUT: dict[str, Any] = {
    "name": "output",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["probabilities", "logits"], "default": "probabilities"},
    "description": "What a raw answer holds: float32, little-endian, row after row.",
}
_HEADER_LENGTH: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "How many bytes of the body are JSON, where raw tensors follow it.",
}

PREDICT_PARAMETERS: dict[str, Any] = {"parameters": [_TIMEOUT, _RAW_OUTPUT]}
INFER_PARAMETERS: dict[str, Any] = {"parameters": [_TIMEOUT, _HEADER_LENGTH]}
"""The `openapi_extra` of a route that reads these itself."""


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A reference to one of `REQUEST_MODELS` in the documentation."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


BINARY: dict[str, Any] = {"type": "string", "format": "binary"}

RAW_TOO: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": BINARY}}}
}
"""An answer that may also be raw bytes."""

_PROBLEM_CONTENT = {"application/problem+json": {"schema": Problem.model_json_schema()}}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "content": _PROBLEM_CONTENT,
        "description": "The request cannot be served; `detail` says why.",
    },
    "5XX": {
        "content": _PROBLEM_CONTENT,
        "description": "The service cannot serve now; `Retry-After` says when to ask again.",
    },
}
