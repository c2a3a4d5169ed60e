"""What goes over the wire, as the documentation shows it and as bodies are checked."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.task_tags import MOST_TAGS, TAG
from service.engine.inference.identification import Method
from service.engine.inference.question import LONGEST_SESSION_NAME, MOST_TOP
from service.open_inference.schemas import IndexRequest, InferRequest, LoadRequest


class Wire(BaseModel):
    """Its fields and no others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


# Rows are checked after parsing, where numpy can; this is for the documentation.
_ROWS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "array", "items": {"type": "number"}},
}


TagText = Annotated[str, Field(pattern=f"^{TAG}$", strict=True)]
TAGS_TEXT = rf"^({TAG}(,{TAG}){{0,{MOST_TAGS - 1}}})?$"
"""Several, comma-separated."""
PrefixText = Annotated[str, Field(max_length=128, strict=True)]


class CandidateFields(Wire):
    """Which of the tasks that the caller sees may be the answer: those that are all of this."""

    tags: list[TagText] = Field(default=[], max_length=MOST_TAGS)
    """They have all of these tags."""
    prefix: PrefixText = ""
    """Their name begins so."""


class QuestionFields(Wire):
    """What is asked of task inference; without meaning where the task is given."""

    method: Method = "auto"
    """How to infer the task."""
    top: int | None = Field(default=None, ge=1, le=MOST_TOP, strict=True)
    """How many of the most probable tasks to answer with, at most `INFERENCE_SHORTLIST`; left out,
    up to five of those that could not be ruled out at a glance."""
    per_row: bool = Field(default=False, strict=True)
    """Every row is a question of its own, rather than all together: the answer has `rows`."""
    session: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_SESSION_NAME, strict=True
    )
    """A stream of rows of one task over several requests, under any name of the caller's own: the
    rows of its earlier requests count as well. Not with `per_row`."""
    session_start: bool = Field(default=False, strict=True)
    """What the session has gathered is forgotten first."""
    session_end: bool = Field(default=False, strict=True)
    """It is forgotten after this answer."""
    candidates: CandidateFields = CandidateFields()
    """Left out, any task may be the answer."""


class PredictRequest(QuestionFields):
    """Rows to predict on; without a task the service infers it."""

    task: str | None = None
    """The task's name. Left out, it is inferred: of all rows together, or `per_row`."""
    version: str | None = None
    """Of the task, by its content hash. Left out, the live one answers, or the task's canary."""
    inputs: Any = Field(json_schema_extra=_ROWS)
    """A list of rows; a row is the pixels' intensities in 0..1, channels first, row-major."""


class TensorJson(Wire):
    """A tensor in JSON."""

    dtype: Literal["F16", "I8", "U8", "U16", "I32"]
    shape: list[int]
    data: list[float]
    """Row after row, without nesting; whole numbers but for F16, which others are rounded to."""


class ArtifactJson(Wire):
    """A task artifact in JSON: the fields that the safetensors file has."""

    record: dict[str, Any]
    """Its version, classes and `made_for`; `held_out` and `provenance` where they are known, `tags`
    where it has any."""
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
