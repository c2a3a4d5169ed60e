"""What to run next: deficit round robin over callers, and over each caller's tasks.

Pure and synchronous. It knows no clock, no deadline and nothing of how a batch is computed.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(eq=False, slots=True)
class Place(Generic[Item]):
    """Where an item waits; `put` gives it and `remove` takes it."""

    caller: str
    key: str
    rows: int
    item: Item


class FairQueue(Generic[Item]):
    """Items of some rows each, in the order that shares rows fairly: by caller, then by key.

    Deficit round robin (Shreedhar and Varghese, 1995): whose head costs more rows than it has
    credit for goes to the end of the round, with `quantum_rows` more. Whoever has nothing that
    waits is forgotten, so a queue is never larger than what waits in it.
    """

    def __init__(self, quantum_rows: int) -> None:
        if quantum_rows < 1:
            raise ValueError(f"a quantum has at least one row, got {quantum_rows}")
        self._quantum_rows = quantum_rows
        self._callers: _Round[_Round[_Flow[Item]]] = _Round(quantum_rows)

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._callers.rows

    def rows_of(self, caller: str) -> int:
        """Rows of this caller that wait."""
        tasks = self._callers.members.get(caller)
        return tasks.rows if tasks is not None else 0

    def put(self, caller: str, key: str, rows: int, item: Item) -> Place[Item]:
        """Let an item of `rows` rows wait, behind those of the same caller and key."""
        place = Place(caller, key, rows, item)
        tasks = self._callers.members.get(caller)
        if tasks is None:
            tasks = self._callers.members[caller] = _Round(self._quantum_rows)
        flow = tasks.members.get(key)
        if flow is None:
            flow = tasks.members[key] = _Flow(self._quantum_rows)
        flow.places[place] = None
        for level in (self._callers, tasks, flow):
            level.rows += rows
        return place

    def remove(self, place: Place[Item]) -> bool:
        """Take an item out before its turn; False where it no longer waits."""
        tasks = self._callers.members.get(place.caller)
        flow = tasks.members.get(place.key) if tasks is not None else None
        if tasks is None or flow is None or place not in flow.places:
            return False
        del flow.places[place]
        for level in (self._callers, tasks, flow):
            level.rows -= place.rows
        if not flow.places:
            del tasks.members[place.key]
        if not tasks.members:
            del self._callers.members[place.caller]
        return True

    def take(self, budget_rows: int) -> list[Item]:
        """The next items, of `budget_rows` rows together at most; a larger one goes alone.

        Empty only where nothing waits.
        """
        taken: list[Item] = []
        left = budget_rows
        while self._callers.members:
            place = self._callers.head()
            # What does not fit keeps its turn: it is the first of the next batch.
            if taken and place.rows > left:
                break
            tasks = self._callers.members[place.caller]
            tasks.credit -= place.rows
            tasks.members[place.key].credit -= place.rows
            self.remove(place)
            taken.append(place.item)
            left -= place.rows
        return taken

    def rows_until_through(self, caller: str, key: str, rows: int) -> int:
        """At most so many rows are taken until `rows` more of this caller and key are, inclusive.

        Of what waits now: who comes later may take a turn before them.
        """
        tasks = self._callers.members.get(caller)
        if tasks is not None:
            flow = tasks.members.get(key)
            rows += flow.rows if flow is not None else 0
            rows = tasks.rows_until_through(key, rows)
        return self._callers.rows_until_through(caller, rows)


class _Flow(Generic[Item]):
    """What waits of one task for one caller, in order of arrival."""

    __slots__ = ("credit", "places", "rows")

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self.rows = 0
        # Ordered by links: a plain dict looks for its first key past all that were removed.
        self.places: OrderedDict[Place[Item], None] = OrderedDict()

    def head(self) -> Place[Item]:
        return next(iter(self.places))


Member = TypeVar("Member", bound="_Flow | _Round")  # type: ignore[type-arg]


class _Round(Generic[Member]):
    """Members that take turns; a round may itself be a member of one."""

    __slots__ = ("_quantum_rows", "credit", "members", "rows")

    def __init__(self, quantum_rows: int) -> None:
        self._quantum_rows = quantum_rows
        self.credit = quantum_rows
        self.rows = 0
        self.members: OrderedDict[str, Member] = OrderedDict()

    def head(self) -> Place:  # type: ignore[type-arg]
        while True:
            name, member = next(iter(self.members.items()))
            head = member.head()
            if head.rows <= member.credit:
                return head
            member.credit += self._quantum_rows
            self.members.move_to_end(name)

    def rows_until_through(self, name: str, rows: int) -> int:
        own = self.members.get(name)
        credit = own.credit if own is not None else self._quantum_rows
        rounds = max(0, -((credit - rows) // self._quantum_rows))
        return rows + sum(
            min(member.rows, member.credit + rounds * self._quantum_rows)
            for other, member in self.members.items()
            if other != name
        )
