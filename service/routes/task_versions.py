"""`/v1/tasks/{task}/versions` and `/aliases`: what a task was and may be, and which of it answers.

A version is named by its content and never changes; an alias is moved.
"""

from fastapi import APIRouter, Request, Response
from structlog.contextvars import bound_contextvars

from model_store.canary import Canary
from model_store.task_names import stored_name
from service.access.tenants import tenant_of
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
    CanaryTarget,
    TagsQuery,
    TaskDetails,
    TaskPath,
    TaskVersion,
    TaskVersions,
    VersionPath,
)

_VERSIONS = "/v1/tasks/{task}/versions"
_VERSION = _VERSIONS + "/{version}"
_ALIASES = "/v1/tasks/{task}/aliases"


def task_versions_router(engine: Engine) -> APIRouter:
    """The routes, on an engine."""
    router = APIRouter(tags=["tasks"], responses=PROBLEMS)
    registry, versions = engine.registry, engine.registry.versions

    def seen(request: Request, task: str) -> str:
        return registry.visible.name(task, tenant_of(request.scope))

    @router.get(_VERSIONS, summary="A task's versions, the one that answers last")
    async def list_versions(task: TaskPath, request: Request) -> TaskVersions:
        stored = seen(request, task)
        found = await versions.of(stored)
        canary = versions.canary(stored)
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
    async def get_version(
        task: TaskPath, version: VersionPath, request: Request, response: Response
    ) -> object:
        stored = seen(request, task)
        registered = await versions.get(stored, version)
        headers = {"ETag": etag(version), "Vary": "Accept"}
        if Preconditions(request.headers).unchanged(version):
            return Response(status_code=304, headers=headers)
        accepted = request.headers.get("accept", "")
        if OCTETS in accepted or SAFETENSORS in accepted:
            artifact = await versions.artifact(stored, version)
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
        task: TaskPath,
        version: VersionPath,
        request: Request,
        response: Response,
        tags: TagsQuery = "",
    ) -> TaskDetails:
        stored = stored_name(tenant_of(request.scope), task)
        registry.get(stored)
        artifact = await registry.examination.checked(await upload(request, tags))
        if artifact.content_hash != version:
            raise InvalidInput(
                f"a version is named by its content: expected {artifact.content_hash}, "
                f"got {version[:80]!r}"
            )
        with bound_contextvars(request_id=request.scope["request_id"]):
            created = await versions.add(stored, artifact)
        response.status_code = 201 if created else 200
        response.headers["ETag"] = etag(version)
        response.headers["Location"] = f"/v1/tasks/{task}/versions/{version}"
        registered = await versions.get(stored, version)
        return details(engine, registered, await registry.record(registered))

    @router.delete(
        _VERSION, status_code=204, summary="Delete a version for good; 409 where it answers"
    )
    async def delete_version(task: TaskPath, version: VersionPath, request: Request) -> None:
        with bound_contextvars(request_id=request.scope["request_id"]):
            await versions.delete(stored_name(tenant_of(request.scope), task), version)

    @router.put(
        f"{_ALIASES}/production",
        summary="Let a version answer all but the canary's share: a rollback, or the way forward",
        openapi_extra=body_schema(("application/json", schema_of(AliasTarget))) | CONDITIONS,
    )
    async def move_production(task: TaskPath, request: Request, response: Response) -> Alias:
        conditions = Preconditions(request.headers)
        target = parsed_body(await request.body(), AliasTarget)
        stored = stored_name(tenant_of(request.scope), task)
        with bound_contextvars(request_id=request.scope["request_id"]):
            artifact = await versions.artifact(stored, target.version)
            live, _ = await registry.publish(stored, artifact, conditions.check)
        response.headers["ETag"] = etag(live.version)
        return Alias(task=task, alias="production", version=target.version, share=None)

    @router.put(
        f"{_ALIASES}/canary",
        summary="Let a version answer a share of the requests",
        openapi_extra=body_schema(("application/json", schema_of(CanaryTarget))),
    )
    async def move_canary(task: TaskPath, request: Request) -> Alias:
        target = parsed_body(await request.body(), CanaryTarget)
        stored = stored_name(tenant_of(request.scope), task)
        registry.get(stored)
        canary = Canary(version=target.version, share=target.share)
        with bound_contextvars(request_id=request.scope["request_id"]):
            await versions.set_canary(stored, canary)
        return Alias(task=task, alias="canary", version=target.version, share=target.share)

    @router.delete(
        f"{_ALIASES}/canary", status_code=204, summary="End the canary: production answers all"
    )
    async def end_canary(task: TaskPath, request: Request) -> None:
        stored = stored_name(tenant_of(request.scope), task)
        registry.get(stored)
        with bound_contextvars(request_id=request.scope["request_id"]):
            await versions.set_canary(stored, None)

    return router
