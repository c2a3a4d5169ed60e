"""Names of tasks: as clients say them, and as the store has them, where a tenant's carry its name.

A client can say no name that holds the mark between the two, so none reaches another's tasks.
"""

import re

from model_store.errors import InvalidTaskName

RESERVED_TASK_NAMES = frozenset({"auto"})

TENANT_MARK = "~"
"""Between a tenant's name and its task's; tasks without it are shared by all."""

_TASK = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_TENANT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"

LONGEST_STORED_NAME = 32 + 1 + 128

_TASK_NAME = re.compile(_TASK)
_TENANT_NAME = re.compile(_TENANT)


def checked_task_name(task_id: str) -> str:
    """The name itself. Raises `InvalidTaskName` on one outside the alphabet, or a reserved one."""
    if task_id in RESERVED_TASK_NAMES:
        raise InvalidTaskName(f"the task name {task_id!r} is reserved")
    if not _TASK_NAME.fullmatch(task_id):
        raise InvalidTaskName(
            "a task name is 1 to 128 letters, digits, '.', '_' or '-', the first a letter or a "
            f"digit; got {task_id[:160]!r}"
        )
    return task_id


def is_tenant_name(tenant: str) -> bool:
    """Whether a tenant may have this name: 1 to 32 characters of a task's alphabet."""
    return _TENANT_NAME.fullmatch(tenant) is not None


def stored_name(tenant: str | None, task_id: str) -> str:
    """What the store calls a client's task; None is who has no tenant, and shares.

    Raises `InvalidTaskName`.
    """
    checked_task_name(task_id)
    return task_id if tenant is None else f"{tenant}{TENANT_MARK}{task_id}"


def checked_stored_name(name: str) -> str:
    """The name itself, a tenant's or shared. Raises `InvalidTaskName` on what is neither."""
    tenant, mark, task_id = name.rpartition(TENANT_MARK)
    checked_task_name(task_id)
    if mark and not is_tenant_name(tenant):
        raise InvalidTaskName(f"expected a tenant's name before {mark!r}, got {tenant[:160]!r}")
    return name


def name_for_clients(name: str) -> str:
    """A stored task's name as its clients say it."""
    return name.rpartition(TENANT_MARK)[2]


def parted_name(name: str) -> tuple[str | None, str]:
    """A stored task's tenant, None where it is shared, and its name as clients say it."""
    tenant, _, task_id = name.rpartition(TENANT_MARK)
    return tenant or None, task_id
