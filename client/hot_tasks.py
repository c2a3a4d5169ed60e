"""Which of some tasks are asked for most: their own counts, asked one by one, so of a few only."""

import time
from dataclasses import dataclass

from client.blocking import Client
from client.errors import NotFound

_LIST_EVERY = 15
"""Looks; a list of very many tasks costs the service more than a few of them."""


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
        self._named = bool(names)
        self._looks = 0
        self._before: dict[str, tuple[str, int]] = {}
        self._looked = time.monotonic()

    def look(self) -> tuple[HotTask, ...]:
        """The busiest first; the first look only counts."""
        if self._looks % _LIST_EVERY == 0 and self._most and not self._named:
            page = self._client.page(limit=self._most)
            self._names = tuple(one.task for one in page.tasks)
        self._looks += 1
        counts = {}
        for name in self._names:
            try:
                details = self._client.show(name)
            except NotFound:  # deleted meanwhile
                continue
            counts[name] = (details.version, details.rows_predicted)
        looked = time.monotonic()
        seconds, self._looked = looked - self._looked, looked
        before, self._before = self._before, counts
        grown = {
            name: _grown(before[name], count) for name, count in counts.items() if name in before
        }
        hot = [HotTask(name, rows / seconds) for name, rows in grown.items() if rows]
        return tuple(sorted(hot, key=lambda one: -one.rows_per_second))


def _grown(before: tuple[str, int], now: tuple[str, int]) -> int:
    # A version that is new, or a process, counts from nothing.
    same = before[0] == now[0] and now[1] >= before[1]
    return now[1] - before[1] if same else now[1]
