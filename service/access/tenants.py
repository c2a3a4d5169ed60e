"""On whose behalf a request is: what the routes ask, which know no keys."""

from starlette.types import Scope

from service.access.key_ring import Key
from service.errors import TooManyTasks


def tenant_of(scope: Scope) -> str | None:
    """Of whoever asks; None where it has none, or no keys are asked for."""
    key: Key | None = scope.get("key")
    return None if key is None else key.tenant


def check_room(scope: Scope, tasks: int) -> None:
    """Raises `TooManyTasks` where who asks may have no more than there are."""
    key: Key | None = scope.get("key")
    if key is not None and key.most_tasks is not None and tasks >= key.most_tasks:
        whose = "there are" if key.tenant is None else f"tenant {key.tenant} has"
        raise TooManyTasks(
            f"this key may publish while {whose} fewer than {key.most_tasks} tasks, and {whose} "
            f"{tasks}: delete one first, or replace one"
        )
