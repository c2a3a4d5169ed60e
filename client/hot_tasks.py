"""Which of some tasks are asked for most: their own counts, a page of them at a look."""

import time
from dataclasses import dataclass

from client.blocking import Client
from client.results import Task


@dataclass(frozen=True, slots=True)
class HotTask:
    """A task that was asked for since the last look."""

    task: str
    rows_per_second: float


class HotTasks:
    """Watches the first `most` tasks by name, or those named."""

    def __init__(self, client: Client, most: int, names: tuple[str, ...] = ()) -> None:
        self._client = client
        self._most = most
        self._names = names
        self._before: dict[str, tuple[str, int]] = {}
        self._looked = time.monotonic()

    def look(self) -> tuple[HotTask, ...]:
        """The busiest first; the first look only counts."""
        counts = {one.task: (one.version, one.rows_predicted) for one in self._tasks()}
        looked = time.monotonic()
        seconds, self._looked = looked - self._looked, looked
        before, self._before = self._before, counts
        grown = {
            name: _grown(before[name], count) for name, count in counts.items() if name in before
        }
        hot = [HotTask(name, rows / seconds) for name, rows in grown.items() if rows]
        return tuple(sorted(hot, key=lambda one: -one.rows_per_second))

    def _tasks(self) -> tuple[Task, ...]:
        most = len(self._names) if self._names else self._most
        return self._client.page(limit=most, names=self._names).tasks if most else ()


def _grown(before: tuple[str, int], now: tuple[str, int]) -> int:
    # A version that is new, or a process, counts from nothing.
    same = before[0] == now[0] and now[1] >= before[1]
    return now[1] - before[1] if same else now[1]
