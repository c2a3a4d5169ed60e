"""The requests about a task's versions, and what an artifact would come to. Sends nothing."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from pydantic import TypeAdapter

from client.attempts import Call
from client.errors import InvalidInput
from client.reading import answer_as
from client.results import Alias, Trial, Version, VersionList, Warmth
from client.task_calls import task_path

_ALIAS = TypeAdapter(Alias)
_TRIAL = TypeAdapter(Trial)
_VERSIONS = TypeAdapter(VersionList)
_WARMTH = TypeAdapter(Warmth)
_JSON = {"Content-Type": "application/json"}


def validate(task: str, artifact: bytes) -> Call[Trial]:
    """Whether an artifact could be uploaded, and all that is wrong where not."""
    return Call(
        "POST",
        f"{task_path(task)}:validate",
        lambda answer: answer_as(_TRIAL, answer),
        headers={"Content-Type": "application/octet-stream"},
        content=artifact,
    )


def warm(task: str) -> Call[Warmth]:
    """Compose a task's weights now."""
    path = f"{task_path(task)}:warm"
    return Call("POST", path, lambda answer: answer_as(_WARMTH, answer))


def versions(task: str) -> Call[VersionList]:
    """A task's versions."""
    path = f"{task_path(task)}/versions"
    return Call("GET", path, lambda answer: answer_as(_VERSIONS, answer))


def artifact(task: str, version: str) -> Call[bytes]:
    """A version as it was uploaded."""
    path = f"{task_path(task)}/versions/{quote(version, safe='')}"
    accept = {"Accept": "application/octet-stream"}
    return Call("GET", path, lambda answer: answer.content, headers=accept)


def move(task: str, version: str, live: str | None = None) -> Call[Alias]:
    """Let a version answer, where `live` does now or whichever does. Repeated it is the same."""
    condition = {} if live is None else {"If-Match": f'"{live}"'}
    return Call(
        "PUT",
        f"{task_path(task)}/aliases/production",
        lambda answer: answer_as(_ALIAS, answer),
        headers=_JSON | condition,
        content=json.dumps({"version": version}).encode(),
    )


def try_out(task: str, version: str, share: float) -> Call[Alias]:
    """Let a version answer a share of the requests."""
    return Call(
        "PUT",
        f"{task_path(task)}/aliases/canary",
        lambda answer: answer_as(_ALIAS, answer),
        headers=_JSON,
        content=json.dumps({"version": version, "share": share}).encode(),
    )


def end_trial(task: str) -> Call[None]:
    """Let the live version answer all again."""
    path = f"{task_path(task)}/aliases/canary"
    return Call("DELETE", path, lambda _: None, repeatable=False)


def move_back(task: str, found: Sequence[Version]) -> Call[Alias]:
    """Let the version answer that was kept before the live one. Raises `InvalidInput`."""
    if len(found) < 2:
        raise InvalidInput(f"task {task!r} has no version but the live one")
    return move(task, found[-2].version, found[-1].version)
