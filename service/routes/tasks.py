"""`/v1/tasks`: list tasks, look at one, upload or replace it, delete it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from structlog.contextvars import bound_contextvars

from model_store.task_record import TaskRecord
from service.engine.engine import Engine
from service.engine.task_table import RegisteredTask
from service.errors import UnsupportedMedia
from service.schemas import BINARY, PROBLEMS, TaskDetails, TaskList, TaskSummary, body_schema

_ARTIFACT_MEDIA = ("", "application/octet-stream", "application/vnd.safetensors")


def tasks_router(engine: Engine) -> APIRouter:
    """The routes, on an engine."""
    router = APIRouter(tags=["tasks"], responses=PROBLEMS)
    registry = engine.registry

    @router.get("/v1/tasks", summary="List tasks in order of their names")
    async def list_tasks(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str = ""
    ) -> TaskList:
        later = [task for task in registry.snapshot() if task.task_id > cursor]
        page = later[:limit]
        return TaskList(
            tasks=[_summary(task) for task in page],
            next_cursor=page[-1].task_id if len(later) > limit else None,
        )

    @router.get("/v1/tasks/{task}", summary="One task, and how much it was used")
    async def get_task(task: str, response: Response) -> TaskDetails:
        registered = registry.get(task)
        response.headers["ETag"] = _etag(registered)
        return _details(registered, await registry.record(registered))

    @router.put(
        "/v1/tasks/{task}",
        summary="Upload a task artifact; it answers from the next request on",
        response_model=TaskDetails,
        responses={201: {"model": TaskDetails, "description": "The task is new."}},
        openapi_extra=body_schema(("application/octet-stream", BINARY)),
    )
    async def put_task(task: str, request: Request, response: Response) -> TaskDetails:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in _ARTIFACT_MEDIA:
            raise UnsupportedMedia(
                "expected a task artifact (safetensors) as application/octet-stream, "
                f"got {media}; with curl: -T FILE"
            )
        body = await request.body()
        with bound_contextvars(request_id=request.scope["request_id"]):
            registered, created = await registry.publish(task, body)
        response.status_code = 201 if created else 200
        response.headers["ETag"] = _etag(registered)
        response.headers["Location"] = f"/v1/tasks/{task}"
        return _details(registered, await registry.record(registered))

    @router.delete("/v1/tasks/{task}", status_code=204, summary="Delete a task for good")
    async def delete_task(task: str, request: Request) -> None:
        with bound_contextvars(request_id=request.scope["request_id"]):
            await registry.delete(task)

    return router


def _etag(task: RegisteredTask) -> str:
    return f'"{task.version}"'


def _summary(task: RegisteredTask) -> TaskSummary:
    return TaskSummary(task=task.task_id, version=task.version, kind=task.kind)


def _details(task: RegisteredTask, record: TaskRecord | None) -> TaskDetails:
    return TaskDetails(
        **_summary(task).model_dump(),
        classes=task.classes,
        artifact_bytes=task.artifact_bytes,
        tensor_bytes=task.tensor_bytes,
        held_out_accuracy=None if record is None else record.held_out_accuracy,
        provenance={} if record is None else record.provenance,
        rows_predicted=task.rows_predicted,
    )
