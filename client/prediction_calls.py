"""The requests for predictions, and how their answers are read. Sends nothing."""

from dataclasses import dataclass
from urllib.parse import quote

import httpx2
import numpy as np
from pydantic import TypeAdapter

from client.attempts import Call
from client.binary_tensors import HEADER_LENGTH, decoded, encoded
from client.errors import InvalidInput, UnexpectedAnswer
from client.inputs import Inputs, Picture, RowsLike, picture_or_rows, rows_of
from client.questions import PLAIN_QUESTION, Question
from client.reading import answer_as, value_as
from client.results import Floats, Inference, Prediction, Probabilities, RowPrediction
from client.task_calls import named

_OCTETS = "application/octet-stream"
_INFERRED = "auto"
"""The model that infers its task."""


@dataclass(frozen=True)
class _Labelled:
    label: str
    probability: float


@dataclass(frozen=True)
class _Answer:
    task: str | None
    version: str | None
    predictions: tuple[_Labelled, ...] | None
    inference: Inference | None = None


@dataclass(frozen=True)
class _Input:
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Model:
    inputs: tuple[_Input, ...]


@dataclass(frozen=True)
class _Each:
    rows: tuple[RowPrediction, ...]


_ANSWER = TypeAdapter(_Answer)
_EACH = TypeAdapter(_Each)
_MODEL = TypeAdapter(_Model)
_INFERENCE = TypeAdapter(Inference)


def predict(
    inputs: Inputs,
    task: str | None,
    version: str | None = None,
    question: Question = PLAIN_QUESTION,
) -> Call[Prediction]:
    """A label for each row, or for a picture.

    Rows of a named task go as `probabilities`, in binary both ways; the short way has what that has
    not: pictures, and the candidates where the task is inferred.
    """
    given = picture_or_rows(inputs)
    if task is not None and not isinstance(given, Picture):
        return _labelled(probabilities(given, task, version))
    _check_has_task(version, task)
    if isinstance(given, Picture):
        content, media, count = given.content, given.media_type, 1
    else:
        content, media, count = given.tobytes(), _OCTETS, len(given)

    def read(response: httpx2.Response) -> Prediction:
        answer = answer_as(_ANSWER, response)
        found = answer.predictions or ()
        if answer.predictions is not None and len(found) != count:
            assert not isinstance(given, Picture)
            raise _taken_for_others(given, len(found))
        probabilities = np.array([one.probability for one in found], dtype=np.float32)
        labels = tuple(one.label for one in found)
        return Prediction(answer.task, answer.version, labels, probabilities, answer.inference)

    params = dict(question.params) if task is None else {"task": named(task)}
    if version is not None:
        params["version"] = version
    return Call(
        "POST",
        "/v1/predict",
        read,
        params=params,
        headers={"Content-Type": media},
        content=content,
        has_deadline=True,
        # Rows that a session has gathered twice count twice.
        repeatable=task is not None or question.session is None,
    )


def predict_each(rows: RowsLike, question: Question) -> Call[tuple[RowPrediction, ...]]:
    """A task and a label for each row by itself."""
    given = rows_of(rows)

    def read(response: httpx2.Response) -> tuple[RowPrediction, ...]:
        found = answer_as(_EACH, response).rows
        if len(found) != len(given):
            raise _taken_for_others(given, len(found))
        return found

    return Call(
        "POST",
        "/v1/predict",
        read,
        params={**question.params, "per_row": "true"},
        headers={"Content-Type": _OCTETS},
        content=given.tobytes(),
        has_deadline=True,
    )


def _taken_for_others(rows: Floats, found: int) -> InvalidInput:
    # Raw rows do not say how long they are, so that 2 of 32 numbers are also 1 of 64.
    return InvalidInput(
        f"{len(rows)} rows of {rows.shape[1]} numbers were taken for {found}: the "
        f"service's have {rows.size // max(1, found)}"
    )


def probabilities(
    rows: RowsLike,
    task: str | None,
    version: str | None = None,
    question: Question = PLAIN_QUESTION,
) -> Call[Probabilities]:
    """Every class's probability for each row, in binary both ways."""
    _check_has_task(version, task)
    given = rows_of(rows)
    parameters = question.parameters if task is None else None
    content, headers = encoded(given, ("probabilities", "labels"), parameters)
    model = _INFERRED if task is None else quote(named(task), safe="")

    def read(response: httpx2.Response) -> Probabilities:
        document, tensors = decoded(response.content, response.headers.get(HEADER_LENGTH))
        inference = None
        if task is None:
            inference = value_as(_INFERENCE, document.get("parameters"))
            if inference.abstained:
                nothing: Floats = np.empty((0, 0), np.float32)
                return Probabilities(None, None, (), nothing, inference)
        found = document["parameters"].get("task") if task is None else task
        values, labels = tensors.get("probabilities"), tensors.get("labels")
        if not isinstance(values, np.ndarray) or not isinstance(labels, tuple):
            raise UnexpectedAnswer(f"expected probabilities and labels, got {list(tensors)}")
        if values.ndim != 2 or not len(values) == len(labels) == len(given):
            raise UnexpectedAnswer(
                f"expected {len(given)} rows, got {list(values.shape)} and {len(labels)} labels"
            )
        return Probabilities(found, document.get("model_version"), labels, values, inference)

    if version is not None:
        model += f"/versions/{quote(version, safe='')}"
    path = f"/v2/models/{model}/infer"
    return Call("POST", path, read, headers=headers, content=content, has_deadline=True)


def _check_has_task(version: str | None, task: str | None) -> None:
    if version is not None and task is None:
        raise InvalidInput("expected the task that the version is of, got none")


def _labelled(call: Call[Probabilities]) -> Call[Prediction]:
    def read(response: httpx2.Response) -> Prediction:
        found = call.read(response)
        best = found.values.max(axis=1, initial=0)
        return Prediction(found.task, found.version, found.labels, best, found.inference)

    return Call(
        call.method,
        call.path,
        read,
        headers=call.headers,
        content=call.content,
        has_deadline=call.has_deadline,
    )


def row_length() -> Call[int]:
    """How many numbers a row has, whatever its task."""

    def read(response: httpx2.Response) -> int:
        model = answer_as(_MODEL, response)
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 2:
            raise UnexpectedAnswer(f"expected one input of rows, got {model.inputs}")
        return model.inputs[0].shape[1]

    return Call("GET", f"/v2/models/{_INFERRED}", read)
