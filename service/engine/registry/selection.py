"""Which of the tasks that a caller sees are meant: those of some tags, or of a beginning."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from service.engine.registry.task_table import RegisteredTask

_shown = attrgetter("name")
_LAST_CHARACTER = "\U0010ffff"
"""Beyond whatever a task's name may have."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Those that have all of `tags`, and whose name begins with `prefix`; all where neither is."""

    tags: tuple[str, ...] = ()
    prefix: str = ""

    def of(self, tasks: Sequence[RegisteredTask]) -> tuple[RegisteredTask, ...]:
        """Of tasks in order of their names."""
        first = bisect_left(tasks, self.prefix, key=_shown)
        last = bisect_left(tasks, self.prefix + _LAST_CHARACTER, key=_shown)
        some = tasks[first:last]
        if not self.tags:
            return tuple(some)
        # Tasks are very many, and the texts that say their tags are few.
        said = {task.said_tags: task for task in some}
        wanted = {text for text, task in said.items() if set(self.tags) <= set(task.tags)}
        return tuple(task for task in some if task.said_tags in wanted)

    def __str__(self) -> str:
        parts = [f"the tags {', '.join(self.tags)}"] if self.tags else []
        parts += [f"a name that begins with {self.prefix!r}"] if self.prefix else []
        return " and ".join(parts) or "any name"


EVERY_TASK = Selection()
"""All that a caller sees."""
