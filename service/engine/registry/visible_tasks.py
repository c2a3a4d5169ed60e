"""Which tasks a caller may see: those of its tenant, then the shared ones that they do not hide.

A caller without a tenant sees the shared ones alone. Knows no keys.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from operator import attrgetter

from model_store.errors import UnknownTask
from model_store.task_names import TENANT_MARK, parted_name
from service.engine.registry.live_tasks import LiveTasks
from service.engine.registry.selection import EVERY_TASK, Selection
from service.engine.registry.task_table import RegisteredTask

Tasks = tuple[RegisteredTask, ...]

_MOST_SELECTIONS = 64
"""Likewise."""

_MOST_TENANTS = 16
"""Whose lists are kept until a task changes: each holds a pointer a task."""

_stored = attrgetter("task_id")
_shown = attrgetter("name")


class VisibleTasks:
    """Lives on the event loop, as the tasks do."""

    def __init__(self, live: LiveTasks) -> None:
        self._live = live
        self._all: Tasks = ()
        self._shared: Tasks = ()
        self._own_too: dict[str, Tasks] = {}
        self._selected: dict[tuple[str | None, Selection], Tasks] = {}

    def name(self, name: str, tenant: str | None) -> str:
        """What the store calls the task that a caller of the tenant means, if there is one.

        Raises `UnknownTask` on what no client can say.
        """
        if TENANT_MARK in name:
            raise UnknownTask(f"no task {name[:160]!r}")
        if tenant is None:
            return name
        stored = f"{tenant}{TENANT_MARK}{name}"
        # One that is damaged is not answered for by a stranger of that name.
        own = self._live.find(stored) is not None or self._live.cannot_serve(stored)
        return stored if own else name

    def get(self, name: str, tenant: str | None) -> RegisteredTask:
        """That task. Raises `UnknownTask` where there is none."""
        return self._live.get(self.name(name, tenant))

    def snapshot(self, tenant: str | None) -> Tasks:
        """All in order of their names; the same object for a while, until a task changes."""
        tasks = self._live.snapshot()
        if tasks is not self._all:
            shared = tuple(task for task in tasks if TENANT_MARK not in task.task_id)
            self._shared = tasks if len(shared) == len(tasks) else shared
            self._all, self._own_too, self._selected = tasks, {}, {}
        if tenant is None:
            return self._shared
        found = self._own_too.pop(tenant, None)
        if found is None:
            found = self._with_own(tenant)
            if len(self._own_too) >= _MOST_TENANTS:
                del self._own_too[next(iter(self._own_too))]
        self._own_too[tenant] = found
        return found

    def only(self, names: Iterable[str], tenant: str | None) -> Tasks:
        """Those of these names that there are, each once, in order of their names."""
        found = {}
        for name in names:
            if TENANT_MARK not in name:
                found[name] = self._live.find(self.name(name, tenant))
        return tuple(task for _, task in sorted(found.items()) if task is not None)

    def beside(self, stored: str) -> int:
        """How many other tasks the tenant of a stored one has; of a shared one, how many are."""
        return self._live.beside(stored)

    def selected(self, tenant: str | None, selection: Selection) -> Tasks:
        """Those of a selection; the same object for a while, until a task changes."""
        every = self.snapshot(tenant)
        if selection == EVERY_TASK:
            return every
        found = self._selected.pop((tenant, selection), None)
        if found is None:
            found = selection.of(every)
            if len(self._selected) >= _MOST_SELECTIONS:
                del self._selected[next(iter(self._selected))]
        self._selected[tenant, selection] = found
        return found

    def left_out(self, tenant: str | None) -> Mapping[str, str]:
        """What cannot serve of what the tenant would see, by its clients' name, and why."""
        own, shared = {}, {}
        for stored, why in self._live.left_out.items():
            of, name = parted_name(stored)
            if of is not None and of == tenant:
                own[name] = why
            elif of is None and (tenant is None or not self._has(tenant, name)):
                shared[name] = why
        return shared | own

    def _has(self, tenant: str, name: str) -> bool:
        return self._live.find(f"{tenant}{TENANT_MARK}{name}") is not None

    def _with_own(self, tenant: str) -> Tasks:
        first = bisect_left(self._all, tenant + TENANT_MARK, key=_stored)
        # The mark's next character: names of one tenant lie side by side.
        last = bisect_left(self._all, tenant + chr(ord(TENANT_MARK) + 1), key=_stored)
        own = self._all[first:last]
        hidden = {task.name for task in own}
        hidden |= {name for of, name in map(parted_name, self._live.left_out) if of == tenant}
        if not hidden:
            return self._shared
        others = [task for task in self._shared if task.task_id not in hidden]
        return tuple(sorted((*own, *others), key=_shown))
