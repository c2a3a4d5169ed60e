"""`POST /v1/predict`: the short way, for people: JSON rows or a picture, task optional.

Raw float32 never comes here: the fast lane takes it.
"""

import asyncio

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from model_store.preprocessing import Preprocessing
from service.engine.engine import Engine
from service.errors import InvalidInput, MalformedRequest, UnsupportedMedia
from service.images import row_from_image
from service.prediction_schemas import EachRowResponse, PredictResponse
from service.query_parameters import PREDICT_PARAMETERS
from service.routes.departure import WhileCallerWaits
from service.routes.predict_answer import predict_answer
from service.routes.questions import question, question_of_query
from service.routes.terms import terms_of
from service.rows import checked_rows, parsed_body
from service.schemas import (
    BINARY,
    PROBLEMS,
    RAW_TOO,
    PredictRequest,
    body_schema,
    schema_of,
)
from service.settings import Settings

Named = tuple[str | None, str | None]
"""A task and a version of it."""

_PICTURES = ("image/png", "image/jpeg")
_FORM = {
    "type": "object",
    "properties": {"file": BINARY, "task": {"type": "string"}, "version": {"type": "string"}},
    "required": ["file"],
}


def predict_router(engine: Engine, settings: Settings) -> APIRouter:
    """The route, on an engine."""
    router = APIRouter(tags=["predict"])
    preprocessing = engine.network.manifest.preprocessing

    @router.post(
        "/v1/predict",
        summary="Predict on rows or on a picture; without a task, infer it",
        response_model=PredictResponse | EachRowResponse,
        responses=PROBLEMS | RAW_TOO,
        openapi_extra=body_schema(
            ("application/json", schema_of(PredictRequest)),
            ("application/octet-stream", BINARY),
            ("image/png", BINARY),
            ("image/jpeg", BINARY),
            ("multipart/form-data", _FORM),
        )
        | PREDICT_PARAMETERS,
    )
    async def predict(
        request: Request, task: str | None = None, version: str | None = None
    ) -> Response:
        terms = terms_of(request.scope, settings.request_timeout_ms)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        asked = question_of_query(request.query_params)
        named: Named = (None, None)
        if media == "application/json":
            body = parsed_body(await request.body(), PredictRequest)
            named, asked = (body.task, body.version), question(body, asked)
            rows = checked_rows(body.inputs, preprocessing.row_length, settings.max_request_rows)
        elif media in _PICTURES:
            pixels = settings.max_image_pixels
            data = await request.body()
            rows = await asyncio.to_thread(row_from_image, data, preprocessing, pixels)
        elif media == "multipart/form-data":
            named, rows = await _row_from_form(request, preprocessing, settings)
        else:
            raise UnsupportedMedia(
                "expected application/json, application/octet-stream, image/png, image/jpeg or "
                f"multipart/form-data, got {media or 'no content type'}"
            )
        task = task if named[0] is None else named[0]
        version = version if named[1] is None else named[1]
        check_has_task(version, task)
        request.scope["task"] = task
        with WhileCallerWaits(request.receive):
            if task is None:
                prediction = await engine.predictor.infer(rows, asked, terms)
            else:
                prediction = await engine.predictor.predict(task, rows, terms, version)
        return Response(predict_answer(prediction, asked), media_type="application/json")

    return router


async def _row_from_form(
    request: Request, preprocessing: Preprocessing, settings: Settings
) -> tuple[Named, NDArray[np.float32]]:
    async with request.form(max_files=1, max_fields=4) as form:
        unknown = set(form) - {"file", "task", "version"}
        if unknown:
            raise InvalidInput(
                f"expected the fields file, task and version, got {', '.join(sorted(unknown))}"
            )
        file, task, version = form.get("file"), form.get("task"), form.get("version")
        if not isinstance(file, UploadFile):
            raise MalformedRequest("expected a PNG or JPEG image as the form's field file")
        if isinstance(task, UploadFile) or isinstance(version, UploadFile):
            raise InvalidInput("task and version: expected names, got a file")
        data, pixels = await file.read(), settings.max_image_pixels
        row = await asyncio.to_thread(row_from_image, data, preprocessing, pixels)
    return (task, version), row


def check_has_task(version: str | None, task: str | None) -> None:
    """Raises `InvalidInput` where a version of no task is named."""
    if version is not None and task is None:
        raise InvalidInput(
            f"version: expected the task that it is of too, got {version[:80]!r} alone"
        )
