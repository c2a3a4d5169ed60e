"""`/v2`: the Open Inference Protocol in JSON. A model is a task; `auto` infers the task."""

from importlib.metadata import version
from math import prod
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from model_store.errors import UnknownTask
from service.engine.engine import Engine
from service.engine.predictor import Prediction
from service.errors import InvalidInput
from service.routes.departure import WhileCallerWaits
from service.routes.terms import terms_of
from service.rows import checked_rows, parsed_body
from service.schemas import (
    PROBLEMS,
    TIMEOUT_HEADER,
    InferRequest,
    InferResponse,
    TensorRequest,
    body_schema,
    schema_of,
)
from service.settings import Settings

AUTO = "auto"

_OUTPUTS = ("logits", "probabilities", "labels")


def open_inference_router(engine: Engine, settings: Settings) -> APIRouter:
    """The routes, on an engine."""
    router = APIRouter(tags=["open inference protocol"], responses=PROBLEMS)
    registry = engine.registry
    preprocessing = engine.network.manifest.preprocessing

    @router.get("/v2", summary="The server and its extensions")
    async def server_metadata() -> dict[str, Any]:
        return {"name": "impress", "version": version("impress"), "extensions": []}

    @router.get("/v2/models/{task}", summary="A task's inputs and outputs")
    async def model_metadata(task: str) -> dict[str, Any]:
        versions = [] if task == AUTO else [registry.get(task).version]
        classes = -1 if task == AUTO else len(registry.get(task).classes)
        return {
            "name": task,
            "versions": versions,
            "platform": "impress_torch",
            "inputs": [
                {"name": "inputs", "datatype": "FP32", "shape": [-1, preprocessing.row_length]}
            ],
            "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [-1, classes]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
                {"name": "labels", "datatype": "BYTES", "shape": [-1]},
            ],
        }

    @router.get("/v2/models/{task}/ready", summary="200 where the task can be predicted with")
    async def model_ready(task: str) -> dict[str, Any]:
        if task != AUTO:
            registry.get(task)
        elif not len(registry):
            raise UnknownTask("no task is registered, so none can be inferred")
        return {"name": task, "ready": True}

    @router.post(
        "/v2/models/{task}/infer",
        summary="Predict on a tensor of rows",
        response_model=InferResponse,
        openapi_extra=body_schema(("application/json", schema_of(InferRequest))) | TIMEOUT_HEADER,
    )
    async def infer(task: str, request: Request) -> Response:
        terms = terms_of(request, settings.request_timeout_ms)
        body = parsed_body(await request.body(), InferRequest)
        wanted = [output.name for output in body.outputs or []] or list(_OUTPUTS)
        unknown = sorted(set(wanted) - set(_OUTPUTS))
        if unknown:
            raise InvalidInput(f"outputs: expected {', '.join(_OUTPUTS)}, got {', '.join(unknown)}")
        rows = _rows(body.inputs[0], preprocessing.row_length, settings.max_request_rows)
        async with WhileCallerWaits(request):
            if task == AUTO:
                prediction = await engine.predictor.infer(rows, "short-list", terms)
            else:
                prediction = await engine.predictor.predict(task, rows, terms)
        return _response(task, body.id, prediction, wanted)

    return router


def _rows(tensor: TensorRequest, row_length: int, max_rows: int) -> NDArray[np.float32]:
    count, rest = tensor.shape[0], tensor.shape[1:]
    if min(tensor.shape) < 1 or prod(rest) != row_length:
        raise InvalidInput(f"shape: expected [rows, {row_length}], got {tensor.shape}")
    if count > max_rows:
        raise InvalidInput(f"shape: at most {max_rows} rows a request, got {count}")
    data = tensor.data
    if not isinstance(data, list) or not data:
        raise InvalidInput("data: expected a list of numbers")
    if isinstance(data[0], list):
        rows = checked_rows(data, row_length, max_rows)
        if len(rows) != count:
            raise InvalidInput(f"data: the shape says {count} rows, got {len(rows)}")
        return rows
    if len(data) != count * row_length:
        raise InvalidInput(f"data: the shape says {count * row_length} numbers, got {len(data)}")
    return checked_rows([data], len(data), 1).reshape(count, row_length)


def _response(
    model_name: str, request_id: str | None, prediction: Prediction, wanted: list[str]
) -> Response:
    document: dict[str, Any] = {"model_name": model_name, "outputs": []}
    if request_id is not None:
        document["id"] = request_id
    if prediction.task is not None:
        document["model_version"] = prediction.task.version
        document["outputs"] = [_output(prediction, name) for name in wanted]
    identification = prediction.identification
    if identification is not None:
        document["parameters"] = {
            "method": identification.method,
            "entropy_nats": identification.best.entropy_nats,
            "margin_nats": identification.margin_nats,
            "abstained": prediction.task is None,
        }
        if prediction.task is not None:
            document["parameters"]["task"] = prediction.task.task_id
    return Response(
        orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )


def _output(prediction: Prediction, name: str) -> dict[str, Any]:
    assert prediction.task is not None
    assert prediction.logits is not None
    if name == "labels":
        best = prediction.logits.argmax(axis=1)
        labels = [prediction.task.classes[index] for index in best]
        return {"name": name, "shape": [len(labels)], "datatype": "BYTES", "data": labels}
    values = prediction.logits if name == "logits" else prediction.probabilities
    assert values is not None
    return {
        "name": name,
        "shape": list(values.shape),
        "datatype": "FP32",
        "data": np.ascontiguousarray(values).ravel(),
    }
