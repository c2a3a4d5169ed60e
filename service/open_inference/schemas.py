"""Open Inference Protocol bodies, as the documentation shows them; `infer_call` reads requests."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.open_inference.tensors import DATATYPES


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class TensorRequest(BaseModel):
    """One input of the Open Inference Protocol: `data`, or bytes after the JSON."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: Literal[tuple(DATATYPES)]  # type: ignore[valid-type]
    parameters: dict[Literal["binary_data_size"], int] | None = None
    data: Any = Field(default=None, json_schema_extra={"type": "array"})


class OutputParameters(_Wire):
    """How an output is answered."""

    binary_data: bool | None = None
    classification: int | None = Field(default=None, ge=1)
    """So many of the best classes, as texts `value:index:label`; not of labels."""


class RequestedOutput(BaseModel):
    """An output asked for by name."""

    name: Literal["logits", "probabilities", "labels"]
    parameters: OutputParameters | None = None


class InferParameters(BaseModel):
    """What is asked of the whole request; parameters that are not listed change nothing."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, str | float | bool]

    binary_data_output: bool = False
    """Every output as bytes, where it does not say otherwise itself."""
    timeout: int = Field(default=0, ge=0)
    """Microseconds that the answer may take; 0: any time."""


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol V2, for the documentation: `infer_call` reads it."""

    id: str | None = None
    parameters: InferParameters | None = None
    inputs: list[TensorRequest] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = None


class TensorResponse(BaseModel):
    """One output of the Open Inference Protocol."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[Literal["binary_data_size"], int] | None = None
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """A response of the Open Inference Protocol V2."""

    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, str | float | bool] | None = None
    outputs: list[TensorResponse]


class IndexRequest(_Wire):
    """What to list of the model repository."""

    ready: bool = Field(default=False, strict=True)
    """Only what can be predicted with."""


class ModelIndex(_Wire):
    """A task as the model repository's index has it."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class LoadRequest(_Wire):
    """Triton's parameters, none of which a task has."""

    parameters: dict[str, Any] = Field(default_factory=dict, max_length=0)
    """A task's configuration and content are its artifact, which `PUT /v1/tasks/{task}` takes."""
