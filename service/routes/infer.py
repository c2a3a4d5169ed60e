"""`POST /v2/models/{task}/infer` of the Open Inference Protocol, in JSON and with raw tensors."""

from collections.abc import Mapping

from model_store.errors import UnknownTask
from service.engine.engine import Engine
from service.engine.registry import TaskRegistry
from service.fast_lane import HEADER_LENGTH, Handler, RawAnswer, RawRequest
from service.infer_answer import infer_answer
from service.infer_request import infer_call
from service.routes.departure import WhileCallerWaits
from service.routes.terms import terms_of
from service.settings import Settings

AUTO = "auto"
"""The name under which a model infers the task."""


def check_version(registry: TaskRegistry, task: str, version: str) -> None:
    """Raises `UnknownTask` where the live version is another: older ones are not kept."""
    live = "none" if task == AUTO else registry.get(task).version
    if version != live:
        raise UnknownTask(f"no version {version[:80]!r} of {task[:160]!r}; the live one is {live}")


def infer_handler(engine: Engine, settings: Settings) -> Handler:
    """The handler, on an engine."""
    row_length = engine.network.manifest.preprocessing.row_length
    predictor = engine.predictor

    async def infer(request: RawRequest, path: Mapping[str, str]) -> RawAnswer:
        terms = terms_of(request.scope, settings.request_timeout_ms)
        body, header_length = await request.body(), request.headers.get(HEADER_LENGTH)
        call = infer_call(body, header_length, row_length, settings.max_request_rows)
        task = path["task"]
        if "version" in path:
            check_version(engine.registry, task, path["version"])
        with WhileCallerWaits(request.receive):
            if task == AUTO:
                prediction = await predictor.infer(call.rows, "short-list", terms)
            else:
                prediction = await predictor.predict(task, call.rows, terms)
        return infer_answer(task, call, prediction)

    return infer
