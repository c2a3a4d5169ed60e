"""`POST /v2/models/{task}/infer` of the Open Inference Protocol, in JSON and with raw tensors."""

from collections.abc import Mapping
from functools import partial

from service.connections.raw_calls import HEADER_LENGTH, RawCall, RawRequest, RawRoute
from service.engine.engine import Engine
from service.open_inference.answer import infer_answer
from service.open_inference.questions import question_of
from service.open_inference.repository import AUTO, check_no_version
from service.open_inference.request import infer_call
from service.settings import Settings


def infer_routes(engine: Engine, settings: Settings) -> tuple[RawRoute, RawRoute]:
    """The routes of a task as it answers, and of a version by its name."""
    row_length = engine.network.manifest.preprocessing.row_length

    def read(request: RawRequest) -> RawCall:
        header_length = request.headers.get(HEADER_LENGTH)
        call = infer_call(request.body, header_length, row_length, settings.max_request_rows)
        task = request.path["task"]
        version = request.path.get("version")
        answer = partial(infer_answer, task, call)
        if task != AUTO:
            return RawCall(task, call.rows, answer, call.timeout_ms, version)
        check_no_version(version)
        asked = question_of(call.asked)
        return RawCall(None, call.rows, answer, call.timeout_ms, question=asked)

    return (
        RawRoute("/v2/models/{task}/infer", read, _least_rows),
        RawRoute("/v2/models/{task}/versions/{version}/infer", read, _least_rows),
    )


def _least_rows(_: bytes, path: Mapping[str, str], __: int) -> int:
    return 0 if path["task"] == AUTO else 1
