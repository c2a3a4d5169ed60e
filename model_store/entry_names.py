"""Names of a log's entries: a task's own for what is current, and of what is kept beside it.

`TASK@HASH` is a version that is not current, or was not when it was kept; `TASK@canary` says which
version takes a share of the requests. Deleting the task ends them too.
"""

import re

from model_store.errors import InvalidTaskName
from model_store.task_names import LONGEST_STORED_NAME, checked_stored_name

CANARY = "canary"

LONGEST_NAME = LONGEST_STORED_NAME + 1 + 64

_MARK = "@"
_VERSION = re.compile(r"[0-9a-f]{64}")


def beside_entry(task_id: str, beside: str) -> str:
    """The name of what is kept beside a task: a version by its content hash, or the canary."""
    return f"{task_id}{_MARK}{beside}"


def parted(name: str) -> tuple[str, str]:
    """The task, and what is kept beside it: "" for the task itself."""
    task_id, _, beside = name.partition(_MARK)
    return task_id, beside


def is_task(name: str) -> bool:
    """Whether an entry of that name is a task's own."""
    return _MARK not in name


def is_version(beside: str) -> bool:
    """Whether what is kept beside a task is a version."""
    return _VERSION.fullmatch(beside) is not None


def checked_entry_name(name: str) -> str:
    """The name itself. Raises `InvalidTaskName` where no entry can have it."""
    task_id, mark, beside = name.partition(_MARK)
    if mark and beside != CANARY and not is_version(beside):
        raise InvalidTaskName(f"no entry has the name {name[:200]!r}")
    checked_stored_name(task_id)
    return name
