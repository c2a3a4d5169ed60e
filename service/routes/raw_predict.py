"""`POST /v1/predict` for programs: raw float32 in, and raw float32 out where that is accepted."""

from collections.abc import Mapping
from functools import lru_cache, partial
from urllib.parse import parse_qsl

import numpy as np

from service.connections.raw_calls import OCTETS, RawAnswer, RawCall, RawRequest, RawRoute
from service.engine.engine import Engine
from service.engine.inference.question import PLAIN_QUESTION, Question
from service.engine.prediction import Prediction
from service.errors import InvalidInput
from service.routes.predict import check_has_task
from service.routes.predict_answer import predict_answer
from service.routes.questions import question_of_query
from service.rows import raw_rows
from service.settings import Settings

_RAW = ((b"content-type", OCTETS),)
_JSON = ((b"content-type", b"application/json"),)


def raw_predict_route(engine: Engine, settings: Settings) -> RawRoute:
    """The route, on an engine."""
    row_length = engine.network.manifest.preprocessing.row_length

    def read(request: RawRequest) -> RawCall:
        task, version, output, asked = _asked_for(request.query)
        wants_raw = OCTETS in request.headers.get(b"accept", b"")
        if wants_raw and task is None:
            raise InvalidInput(
                "a raw answer does not say which task it is of: name one with ?task=, or accept "
                "application/json"
            )
        rows = raw_rows(request.body, row_length, settings.max_request_rows)
        check_has_task(version, task)
        answer = _RAW_ANSWERS[output] if wants_raw else partial(_in_json, asked)
        return RawCall(task, rows, answer, version=version, question=asked)

    def least_rows(query: bytes, _: Mapping[str, str], body_bytes: int) -> int:
        task = _asked_for(query)[0]
        rows, rest = divmod(body_bytes, 4 * row_length)
        return 0 if task is None or rest or rows > settings.max_request_rows else rows

    return RawRoute("/v1/predict", read, least_rows)


@lru_cache(maxsize=1024)
def _asked_for(query: bytes) -> tuple[str | None, str | None, str, Question]:
    said = query.decode("latin-1")
    # A task alone, for which a parser costs as much as the rest of the head.
    if said.startswith("task=") and "&" not in said and "%" not in said and "+" not in said:
        return said[5:], None, "probabilities", PLAIN_QUESTION
    given = dict(parse_qsl(said, keep_blank_values=True))
    output = given.get("output", "probabilities")
    if output not in _RAW_ANSWERS:
        raise InvalidInput(f"output: expected probabilities or logits, got {output[:40]!r}")
    return given.get("task"), given.get("version"), output, question_of_query(given)


def _in_json(asked: Question, prediction: Prediction) -> RawAnswer:
    return RawAnswer(predict_answer(prediction, asked), _JSON)


def _raw(output: str, prediction: Prediction) -> RawAnswer:
    values = prediction.logits if output == "logits" else prediction.probabilities
    assert values is not None
    return RawAnswer(np.ascontiguousarray(values, dtype="<f4").tobytes(), _RAW)


_RAW_ANSWERS = {output: partial(_raw, output) for output in ("probabilities", "logits")}
