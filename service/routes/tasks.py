"""`/v1/tasks`: list tasks, look at one, upload or replace it, try an upload, warm up, delete."""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from structlog.contextvars import bound_contextvars

from model_store.task_names import stored_name
from model_store.task_record import TaskRecord
from service.access.tenants import check_room, tenant_of
from service.engine.engine import Engine
from service.engine.registry.selection import Selection
from service.engine.registry.task_table import RegisteredTask
from service.routes.plain_names import PLAIN
from service.routes.preconditions import Preconditions
from service.routes.uploads import ANY_BODY, ARTIFACT_BODY, said_tags, upload
from service.schemas import PROBLEMS
from service.task_schemas import (
    CONDITIONS,
    READ_CONDITIONS,
    UNCHANGED,
    ArtifactReport,
    CanaryShare,
    TagsQuery,
    TaskDetails,
    TaskList,
    TaskNames,
    TaskPath,
    TaskSummary,
    TaskWarmth,
)

_TASK = f"/v1/tasks/{{task:{PLAIN}}}"
_MOST_LISTED = 1000
"""At once; more are more pages."""
_WARM_SECONDS = 60
"""More than composing takes, and what waits before it."""


def tasks_router(engine: Engine) -> APIRouter:
    """The routes, on an engine."""
    router = APIRouter(tags=["tasks"], responses=PROBLEMS)
    registry = engine.registry

    @router.get("/v1/tasks", summary="List tasks in order of their names")
    async def list_tasks(
        request: Request,
        task: Annotated[
            TaskNames,
            Query(default_factory=list, description="Only these, of those that there are."),
        ],
        limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 100,
        cursor: str = "",
        tags: TagsQuery = "",
        prefix: Annotated[str, Query(max_length=128)] = "",
    ) -> TaskList:
        tenant, wanted = tenant_of(request.scope), Selection(said_tags(tags), prefix)
        if task:
            tasks = wanted.of(registry.visible.only(task, tenant))
        else:
            tasks = registry.visible.selected(tenant, wanted)
        start = bisect_right(tasks, cursor, key=lambda task: task.name)
        page = tasks[start : start + limit]
        return TaskList(
            tasks=[_summary(task) for task in page],
            next_cursor=page[-1].name if start + limit < len(tasks) else None,
        )

    @router.get(
        _TASK,
        summary="One task, and how much it was used",
        response_model=TaskDetails,
        responses=UNCHANGED,
        openapi_extra=READ_CONDITIONS,
    )
    async def get_task(task: TaskPath, request: Request, response: Response) -> object:
        registered = registry.visible.get(task, tenant_of(request.scope))
        headers = {"ETag": etag(registered.version)}
        if Preconditions(request.headers).unchanged(registered.version):
            return Response(status_code=304, headers=headers)
        response.headers.update(headers)
        return details(engine, registered, await registry.record(registered))

    @router.put(
        _TASK,
        summary="Upload a task artifact; it answers from the next request on",
        response_model=TaskDetails,
        responses={201: {"model": TaskDetails, "description": "The task is new."}},
        openapi_extra=ARTIFACT_BODY | CONDITIONS,
    )
    async def put_task(
        task: TaskPath, request: Request, response: Response, tags: TagsQuery = ""
    ) -> TaskDetails:
        conditions = Preconditions(request.headers)
        stored = stored_name(tenant_of(request.scope), task)
        parts = await upload(request, tags)

        def accept(current: str | None, wanted: str) -> None:
            conditions.check(current, wanted)
            if current is None:
                check_room(request.scope, registry.visible.beside(stored))

        with bound_contextvars(request_id=request.scope["request_id"]):
            registered, created = await registry.publish(stored, parts, accept)
        response.status_code = 201 if created else 200
        response.headers["ETag"] = etag(registered.version)
        response.headers["Location"] = f"/v1/tasks/{task}"
        return details(engine, registered, await registry.record(registered))

    @router.delete(
        _TASK,
        status_code=204,
        summary="Delete a task and all its versions for good",
        openapi_extra=CONDITIONS,
    )
    async def delete_task(task: TaskPath, request: Request) -> None:
        conditions = Preconditions(request.headers)
        with bound_contextvars(request_id=request.scope["request_id"]):
            stored = stored_name(tenant_of(request.scope), task)
            await registry.delete(stored, conditions.check)

    @router.post(
        "/v1/tasks/{task}:validate",
        summary="Say everything that keeps an artifact from being uploaded; changes nothing",
        openapi_extra=ANY_BODY,
    )
    async def validate_task(task: str, request: Request, tags: TagsQuery = "") -> ArtifactReport:
        parts = await upload(request, tags)
        artifact, problems = await registry.examination.all_of(task, parts)
        return ArtifactReport(
            valid=artifact is not None,
            version=None if artifact is None else artifact.content_hash,
            kind=None if artifact is None else artifact.kind,
            problems=problems,
        )

    @router.post("/v1/tasks/{task}:warm", summary="Compose a task's weights now")
    async def warm_task(task: TaskPath, request: Request) -> TaskWarmth:
        registered = registry.visible.get(task, tenant_of(request.scope))
        await engine.cache.warm([registered], _WARM_SECONDS)
        composed = engine.cache.has(registered.version)
        return TaskWarmth(task=task, version=registered.version, composed=composed)

    return router


def etag(version: str) -> str:
    """A version as a header has it."""
    return f'"{version}"'


def _summary(task: RegisteredTask) -> TaskSummary:
    return TaskSummary(
        task=task.name,
        version=task.version,
        kind=task.kind,
        rows_predicted=task.rows_predicted,
        tags=task.tags,
    )


def details(engine: Engine, task: RegisteredTask, record: TaskRecord | None) -> TaskDetails:
    """A task, or a version of one, as the routes show it."""
    canary = engine.registry.versions.canary(task.task_id)
    last = task.last_predicted
    return TaskDetails(
        **_summary(task).model_dump(),
        classes=task.classes,
        artifact_bytes=task.artifact_bytes,
        tensor_bytes=task.tensor_bytes,
        held_out_accuracy=None if record is None else record.held_out_accuracy,
        provenance={} if record is None else record.provenance,
        last_predicted=None if last is None else datetime.fromtimestamp(last, UTC),
        composed=engine.cache.has(task.version),
        canary=(
            None
            if canary is None
            else CanaryShare(
                version=canary.task.version,
                share=canary.share,
                rows_predicted=canary.task.rows_predicted,
            )
        ),
    )
