"""Tasks that the settings name: their composed weights are at hand whatever else is asked for.

They follow the tasks: a version that replaces another takes its place, and a task that is deleted
leaves it free for its next one.
"""

import asyncio
import logging
from collections.abc import Sequence

from model_store.errors import UnknownTask
from service.engine.registry.live_tasks import LiveTasks
from service.engine.registry.task_table import RegisteredTask
from service.engine.tiers.composed_cache import ComposedCache
from service.engine.tiers.kept_weights import ComposedWeights

_log = logging.getLogger(__name__)


class PinnedTasks:
    """Lives on the event loop. Raises `ValueError` where they do not all fit `cache_bytes`."""

    def __init__(
        self, names: Sequence[str], cache: ComposedCache, composed_bytes: int, cache_bytes: int
    ) -> None:
        if len(names) * composed_bytes > cache_bytes:
            raise ValueError(
                f"pinned_tasks: expected cache_bytes of at least {len(names) * composed_bytes} for "
                f"{len(names)} tasks of {composed_bytes} bytes composed, got {cache_bytes}"
            )
        self._names = names
        self._cache = cache
        self._pinned: dict[str, RegisteredTask] = {}
        self._under_way: set[asyncio.Future[ComposedWeights]] = set()

    def follow(self, live: LiveTasks) -> None:
        """Pin the versions that serve now, and let go of those that serve no more."""
        changed = []
        for name in self._names:
            task = _serving(live, name)
            if task is not self._pinned.get(name):
                changed.append((name, task))
        before = {self._pinned.pop(name).version for name, _ in changed if name in self._pinned}
        self._pinned |= {name: task for name, task in changed if task is not None}
        now = {task.version for task in self._pinned.values()} if changed else set()
        for version in before - now:
            self._cache.unpin(version)
        for _, task in changed:
            if task is not None and (making := self._cache.pin(task)) is not None:
                self._under_way.add(making)
                making.add_done_callback(self._under_way.discard)

    async def start(self) -> None:
        """Until every pinned task that there is has its weights."""
        for name in self._names:
            if name not in self._pinned:
                _log.warning("pinned task %s is not in the store; it is pinned when it comes", name)
        if self._under_way:
            await asyncio.wait(self._under_way)

    def explained(self) -> dict[str, str]:
        """How each of them stands, for people."""
        return {name: self._state(name) for name in self._names}

    def _state(self, name: str) -> str:
        task = self._pinned.get(name)
        if task is None:
            return "no such task"
        return "at hand" if self._cache.has(task.version) else "not at hand"


def _serving(live: LiveTasks, name: str) -> RegisteredTask | None:
    try:
        return live.get(name)
    except UnknownTask:
        return None
