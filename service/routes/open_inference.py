"""`/v2`: the Open Inference Protocol. A model is a task; `auto` infers the task."""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.access.tenants import tenant_of
from service.connections.raw_answers import RawAnswers
from service.connections.raw_calls import RawRoute
from service.open_inference.repository import ModelRepository
from service.open_inference.schemas import InferRequest, InferResponse
from service.query_parameters import INFER_PARAMETERS
from service.schemas import (
    BINARY,
    PROBLEMS,
    RAW_TOO,
    body_schema,
    schema_of,
)

_VERSIONED = "/v2/models/{task}/versions/{version}"


def open_inference_router(
    models: ModelRepository, infer: tuple[RawRoute, RawRoute], answers: RawAnswers
) -> APIRouter:
    """The routes, on the models and what answers a prediction."""
    router = APIRouter(tags=["open inference protocol"], responses=PROBLEMS)
    live, versioned = infer

    @router.get("/v2", summary="The server and its extensions")
    async def server_metadata() -> dict[str, Any]:
        return models.server_metadata()

    @router.get("/v2/models/{task}", summary="A task's inputs and outputs")
    async def model_metadata(task: str, request: Request) -> dict[str, Any]:
        return await models.metadata(task, tenant=tenant_of(request.scope))

    @router.get(_VERSIONED, summary="The same of one version")
    async def version_metadata(task: str, version: str, request: Request) -> dict[str, Any]:
        return await models.metadata(task, version, tenant_of(request.scope))

    @router.get("/v2/models/{task}/ready", summary="200 where the task can be predicted with")
    async def model_ready(task: str, request: Request) -> dict[str, Any]:
        await models.check_ready(task, tenant=tenant_of(request.scope))
        return {"name": task, "ready": True}

    @router.get(_VERSIONED + "/ready", summary="200 where that version can be predicted with")
    async def version_ready(task: str, version: str, request: Request) -> dict[str, Any]:
        await models.check_ready(task, version, tenant_of(request.scope))
        return {"name": task, "ready": True}

    # Raw tensors never come here: the fast lane takes them, as the same route.
    @router.post(
        "/v2/models/{task}/infer",
        summary="Predict on a tensor of rows",
        response_model=InferResponse,
        responses=RAW_TOO,
        openapi_extra=body_schema(
            ("application/json", schema_of(InferRequest)), ("application/octet-stream", BINARY)
        )
        | INFER_PARAMETERS,
    )
    async def infer_json(task: str, request: Request) -> Response:
        return await answered(live, request)

    @router.post(
        _VERSIONED + "/infer",
        summary="The same by that version, live or not",
        response_model=InferResponse,
        responses=RAW_TOO,
        openapi_extra=body_schema(
            ("application/json", schema_of(InferRequest)), ("application/octet-stream", BINARY)
        )
        | INFER_PARAMETERS,
    )
    async def infer_json_version(task: str, version: str, request: Request) -> Response:
        return await answered(versioned, request)

    async def answered(route: RawRoute, request: Request) -> Response:
        answer = await answers.to(route, request.path_params, request.scope, request.receive)
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        return Response(answer.body, headers=headers)

    return router
