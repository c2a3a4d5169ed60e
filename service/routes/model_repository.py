"""`/v2/repository`: the model repository extension, on the same tasks as everything else."""

import asyncio
from collections.abc import Iterator
from itertools import islice

import orjson
from fastapi import APIRouter, Request, Response

from service.access.tenants import tenant_of
from service.open_inference.repository import IndexedModel, ModelRepository
from service.open_inference.schemas import IndexRequest, LoadRequest, ModelIndex
from service.rows import Model, parsed_body
from service.schemas import (
    PROBLEMS,
    optional_body_schema,
    schema_of,
)

_SLICE = 1000
"""Of an index of a hundred thousand tasks, so that nothing else waits long."""


def model_repository_router(models: ModelRepository) -> APIRouter:
    """The routes, on the models."""
    router = APIRouter(tags=["open inference protocol"], responses=PROBLEMS)

    @router.post(
        "/v2/repository/index",
        summary="Every task, with the version that answers",
        response_model=list[ModelIndex],
        openapi_extra=optional_body_schema(schema_of(IndexRequest)),
    )
    async def index(request: Request) -> Response:
        wanted = await _given(request, IndexRequest)
        found = models.index(wanted.ready, tenant_of(request.scope))
        content = await asyncio.to_thread(_encoded, found)
        return Response(content, media_type="application/json")

    @router.post(
        "/v2/repository/models/{task}/load",
        summary="Take over now what the store has; 200 where the task can be predicted with",
        openapi_extra=optional_body_schema(schema_of(LoadRequest)),
    )
    async def load(task: str, request: Request) -> dict[str, str]:
        await _given(request, LoadRequest)
        await models.load(task, tenant_of(request.scope))
        return {"name": task}

    @router.post(
        "/v2/repository/models/{task}/unload", summary="Refused: tasks stay in memory, all of them"
    )
    async def unload(task: str, request: Request) -> None:
        models.unload(task, tenant_of(request.scope))

    return router


async def _given(request: Request, model: type[Model]) -> Model:
    body = await request.body()
    return parsed_body(body, model) if body else model()


def _encoded(index: Iterator[IndexedModel]) -> bytes:
    parts = []
    while models := [model._asdict() for model in islice(index, _SLICE)]:
        parts.append(orjson.dumps(models)[1:-1])
    return b"[" + b",".join(parts) + b"]"
