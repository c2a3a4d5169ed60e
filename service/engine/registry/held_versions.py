"""Versions that are not live and were asked for, in memory within a bound of how many.

All others are read from the store when somebody names them.
"""

from service.engine.registry.task_table import RegisteredTask

MOST_HELD = 256


class HeldVersions:
    """By entry's name, the least lately asked for first; changed on the event loop."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._held: dict[str, RegisteredTask] = {}

    def names(self) -> tuple[str, ...]:
        """Of the entries that they were read from; may be asked for on any thread."""
        return tuple(self._held)

    def get(self, name: str) -> RegisteredTask | None:
        """A version that is held, which is then the last to be let go."""
        found = self._held.pop(name, None)
        if found is not None:
            self._held[name] = found
        return found

    def put(self, name: str, task: RegisteredTask) -> RegisteredTask | None:
        """Hold a version; which was let go for it."""
        self._held.pop(name, None)
        self._held[name] = task
        if len(self._held) <= self._most:
            return None
        return self._held.pop(next(iter(self._held)))

    def drop(self, name: str) -> RegisteredTask | None:
        """Let one go."""
        return self._held.pop(name, None)

    def drop_task(self, task_id: str) -> None:
        """Let go all of a task."""
        for name in [name for name, one in self._held.items() if one.task_id == task_id]:
            del self._held[name]
