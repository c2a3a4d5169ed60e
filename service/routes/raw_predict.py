"""`POST /v1/predict` for programs: raw float32 in, and raw float32 out where that is accepted."""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

import numpy as np

from service.engine.engine import Engine
from service.engine.predictor import Prediction
from service.errors import InvalidInput
from service.fast_lane import OCTETS, Handler, RawAnswer, RawRequest
from service.routes.departure import WhileCallerWaits
from service.routes.predict import predict_response
from service.routes.terms import terms_of
from service.rows import raw_rows
from service.settings import Settings

_RAW = ((b"content-type", OCTETS),)
_JSON = ((b"content-type", b"application/json"),)


def raw_predict(engine: Engine, settings: Settings) -> Handler:
    """The handler, on an engine."""
    row_length = engine.network.manifest.preprocessing.row_length
    predictor = engine.predictor

    async def predict(request: RawRequest, _: Mapping[str, str]) -> RawAnswer:
        terms = terms_of(request.scope, settings.request_timeout_ms)
        task, output = _asked_for(request.scope["query_string"])
        wants_raw = OCTETS in request.headers.get(b"accept", b"")
        if wants_raw and task is None:
            raise InvalidInput(
                "a raw answer does not say which task it is of: name one with ?task=, or accept "
                "application/json"
            )
        rows = raw_rows(await request.body(), row_length, settings.max_request_rows)
        with WhileCallerWaits(request.receive):
            if task is None:
                prediction = await predictor.infer(rows, "short-list", terms)
            else:
                prediction = await predictor.predict(task, rows, terms)
        if wants_raw:
            return RawAnswer(_octets(prediction, output), _RAW)
        answer = predict_response(prediction).model_dump_json(exclude_unset=True)
        return RawAnswer(answer.encode(), _JSON)

    return predict


@lru_cache(maxsize=1024)
def _asked_for(query: bytes) -> tuple[str | None, str]:
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    output = given.get("output", "probabilities")
    if output not in ("probabilities", "logits"):
        raise InvalidInput(f"output: expected probabilities or logits, got {output[:40]!r}")
    return given.get("task"), output


def _octets(prediction: Prediction, output: str) -> bytes:
    values = prediction.logits if output == "logits" else prediction.probabilities
    assert values is not None
    return np.ascontiguousarray(values, dtype="<f4").tobytes()
