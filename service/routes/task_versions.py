"""`/v1/tasks/{task}/versions` and `/aliases`: what a task was and may be, and which of it answers.

A version is named by its content and never changes; an alias is moved.
"""

from typing import Literal

from fastapi import APIRouter, Request, Response
from structlog.contextvars import bound_contextvars

from model_store.canary import Canary
from model_store.errors import UnknownTask
from service.engine.engine import Engine
from service.errors import InvalidInput
from service.routes.preconditions import Preconditions
from service.routes.tasks import details, etag
from service.routes.uploads import ARTIFACT_BODY, OCTETS, SAFETENSORS, upload
from service.rows import parsed_body
from service.schemas import BINARY, PROBLEMS, body_schema, schema_of
from service.task_schemas import (
    CONDITIONS,
    READ_CONDITIONS,
    UNCHANGED,
    Alias,
    AliasTarget,
    TaskDetails,
    TaskVersion,
    TaskVersions,
)

_VERSIONS = "/v1/tasks/{task}/versions"
_VERSION = _VERSIONS + "/{version}"
_ALIAS = "/v1/tasks/{task}/aliases/{alias}"


def task_versions_router(engine: Engine) -> APIRouter:
    """The routes, on an engine."""
    router = APIRouter(tags=["tasks"], responses=PROBLEMS)
    registry, versions = engine.registry, engine.registry.versions

    @router.get(_VERSIONS, summary="A task's versions, the one that answers last")
    async def list_versions(task: str) -> TaskVersions:
        found = await versions.of(task)
        canary = versions.canary(task)
        shares = {} if canary is None else {canary.task.version: canary.share}
        listed = [
            TaskVersion(version=one, live=one == found[-1], canary_share=shares.get(one))
            for one in found
        ]
        return TaskVersions(task=task, versions=listed)

    @router.get(
        _VERSION,
        summary="One version; the artifact itself where application/octet-stream is accepted",
        response_model=TaskDetails,
        responses={**UNCHANGED, 200: {"content": {OCTETS: {"schema": BINARY}}}},
        openapi_extra=READ_CONDITIONS,
    )
    async def get_version(task: str, version: str, request: Request, response: Response) -> object:
        registered = await versions.get(task, version)
        headers = {"ETag": etag(version), "Vary": "Accept"}
        if Preconditions(request.headers).unchanged(version):
            return Response(status_code=304, headers=headers)
        accepted = request.headers.get("accept", "")
        if OCTETS in accepted or SAFETENSORS in accepted:
            artifact = await versions.artifact(task, version)
            media = OCTETS if OCTETS in accepted else SAFETENSORS
            return Response(artifact.content, headers=headers, media_type=media)
        response.headers.update(headers)
        return details(engine, registered, await registry.record(registered))

    @router.put(
        _VERSION,
        summary="Upload a version that does not answer yet; an alias can be moved to it",
        response_model=TaskDetails,
        responses={201: {"model": TaskDetails, "description": "The version is new."}},
        openapi_extra=ARTIFACT_BODY,
    )
    async def put_version(
        task: str, version: str, request: Request, response: Response
    ) -> TaskDetails:
        registry.get(task)
        artifact = await registry.examination.checked(await upload(request))
        if artifact.content_hash != version:
            raise InvalidInput(
                f"a version is named by its content: expected {artifact.content_hash}, "
                f"got {version[:80]!r}"
            )
        with bound_contextvars(request_id=request.scope["request_id"]):
            created = await versions.add(task, artifact)
        response.status_code = 201 if created else 200
        response.headers["ETag"] = etag(version)
        response.headers["Location"] = f"/v1/tasks/{task}/versions/{version}"
        registered = await versions.get(task, version)
        return details(engine, registered, await registry.record(registered))

    @router.delete(
        _VERSION, status_code=204, summary="Delete a version for good; 409 where it answers"
    )
    async def delete_version(task: str, version: str, request: Request) -> None:
        with bound_contextvars(request_id=request.scope["request_id"]):
            await versions.delete(task, version)

    @router.put(
        _ALIAS,
        summary="Move an alias: production answers all but the canary's share",
        response_model=Alias,
        openapi_extra=body_schema(("application/json", schema_of(AliasTarget))) | CONDITIONS,
    )
    async def put_alias(
        task: str, alias: Literal["production", "canary"], request: Request, response: Response
    ) -> Alias:
        conditions = Preconditions(request.headers)
        target = parsed_body(await request.body(), AliasTarget)
        live = registry.get(task)
        if (target.share is None) != (alias == "production"):
            raise InvalidInput("share: the canary has one, from 0 to 1, and production none")
        with bound_contextvars(request_id=request.scope["request_id"]):
            if target.share is None:
                artifact = await versions.artifact(task, target.version)
                live, _ = await registry.publish(task, artifact, conditions.check)
            else:
                conditions.check(live.version)
                canary = Canary(version=target.version, share=target.share)
                await versions.set_canary(task, canary)
        response.headers["ETag"] = etag(live.version)
        return Alias(task=task, alias=alias, version=target.version, share=target.share)

    @router.delete(_ALIAS, status_code=204, summary="End the canary: production answers all")
    async def delete_alias(task: str, alias: Literal["canary"], request: Request) -> None:
        if versions.canary(task) is None:
            registry.get(task)
            raise UnknownTask(f"task {task[:160]!r} has no {alias}")
        with bound_contextvars(request_id=request.scope["request_id"]):
            await versions.set_canary(task, None)

    return router
