"""The requests about tasks, and how their answers are read. Sends nothing."""

from collections.abc import Sequence
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter

from client.attempts import Call
from client.errors import InvalidInput
from client.reading import answer_as
from client.results import Pushed, TaskDetails, TaskPage

_DETAILS = TypeAdapter(TaskDetails)
_PAGE = TypeAdapter(TaskPage)
_LONGEST_NAME = 1024


def push(task: str, artifact: bytes, tags: Sequence[str] = ()) -> Call[Pushed]:
    """Upload an artifact, with tags in place of its own where there are any.

    Sent again it changes nothing more: its version is its content's hash.
    """

    def read(response: httpx2.Response) -> Pushed:
        return Pushed(answer_as(_DETAILS, response), created=response.status_code == 201)

    return Call(
        "PUT",
        task_path(task),
        read,
        params=_said(tags),
        headers={"Content-Type": "application/octet-stream"},
        content=artifact,
    )


def page(
    limit: int,
    cursor: str,
    names: Sequence[str] = (),
    tags: Sequence[str] = (),
    prefix: str | None = None,
) -> Call[TaskPage]:
    """Tasks after the cursor's; of these names alone, where there are any.

    Only such as have all of the tags, and begin with the prefix.
    """
    params: dict[str, str | list[str]] = {"limit": str(limit), **_said(tags)}
    if cursor:
        params["cursor"] = cursor
    if names:
        params["task"] = list(names)
    if prefix is not None:
        params["prefix"] = prefix
    return Call("GET", "/v1/tasks", lambda answer: answer_as(_PAGE, answer), params=params)


def show(task: str) -> Call[TaskDetails]:
    """One task."""
    return Call("GET", task_path(task), lambda answer: answer_as(_DETAILS, answer))


def delete(task: str) -> Call[None]:
    """Delete a task. Not sent again after a broken connection: it might say "no such task"."""
    return Call("DELETE", task_path(task), lambda _: None, repeatable=False)


def _said(tags: Sequence[str]) -> dict[str, str]:
    return {"tags": ",".join(tags)} if tags else {}


def named(task: str) -> str:
    """The name itself. Raises `InvalidInput` where no address can hold it, or it is another's.

    The service judges every other name.
    """
    try:
        length = len(task.encode())
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= _LONGEST_NAME or task in (".", ".."):
        raise InvalidInput(f"expected a task's name, got {task[:80]!r}")
    return task


def task_path(task: str) -> str:
    """Where a task is. Raises as `named` does."""
    return f"/v1/tasks/{quote(named(task), safe='')}"
