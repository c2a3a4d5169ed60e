"""What was made of lists of tasks, kept, so that callers who see others do not undo each other's.

Those asked for longest ago make room, by bytes; the newest is kept however large it is. A list that
has a task which serves no longer will not be asked for again, so a new one takes its place.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from service.engine.registry.task_table import RegisteredTask

Tasks = tuple[RegisteredTask, ...]
Made = TypeVar("Made")

_BYTES_A_TASK = 8
"""Of the list itself."""


class _Kept(NamedTuple, Generic[Made]):
    tasks: Tasks
    made: Made
    size: int


class KeptLists(Generic[Made]):
    """For one thread at a time; `let_go` is told of whatever is not kept any more."""

    def __init__(
        self,
        most_bytes: int,
        make: Callable[[Tasks], Made],
        size_of: Callable[[Made], int],
        let_go: Callable[[Made], None] = lambda made: None,
    ) -> None:
        self._most_bytes = most_bytes
        self._make = make
        self._size_of = size_of
        self._let_go = let_go
        self._kept: OrderedDict[int, _Kept[Made]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, tasks: Tasks) -> Made:
        """What is made of these tasks in this order."""
        found = self._kept.get(id(tasks))
        if found is None:
            found = self._equal(tasks)
        if found is not None:
            self._kept.move_to_end(id(found.tasks))
            return found.made
        for stale in [one for one in self._kept.values() if any(t.retired for t in one.tasks)]:
            self._drop(stale)
        made = self._make(tasks)
        size = self._size_of(made) + _BYTES_A_TASK * len(tasks)
        # It holds the list, so no other can have its id.
        self._kept[id(tasks)] = _Kept(tasks, made, size)
        self._bytes += size
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept.values())))
        return made

    def _drop(self, kept: _Kept[Made]) -> None:
        del self._kept[id(kept.tasks)]
        self._bytes -= kept.size
        self._let_go(kept.made)

    def _equal(self, tasks: Tasks) -> _Kept[Made] | None:
        # Lists that differ mostly do so in length, or soon: no hash of all is worth its time.
        return next((one for one in self._kept.values() if one.tasks == tasks), None)
