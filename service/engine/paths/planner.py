"""Which way each task's rows of a batch are computed, by what each costs here. Computes nothing.

Rows of a task may run on its composed weights, which are at hand or are composed first; or together
with those of other tasks, without any.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from service.engine.paths.path_cost import PathCost

Path = Literal["grouped", "composed", "mixed"]
"""grouped: on composed weights that are at hand. composed: on weights composed for it. mixed:
without composed weights, rows of any tasks in one pass."""

ForwardPath = Literal["auto", "grouped", "mixed"]
"""By cost; or always on composed weights; or always without, but for tasks that cannot."""

_MOST_REMEMBERED = 4096
_TRY_AT_MOST_EVERY = 32
_SHARE_FOR_TRIES = 0.01
"""Of the time that batches take: what trying other ways may add to it."""
_NOT_MUCH_DEARER = 4.0


class Group(NamedTuple):
    """The rows of one task in a batch; most groups of a batch are of a few kinds."""

    rows: int
    at_hand: bool
    """Whether its composed weights are."""
    may_mix: bool
    """Whether the mixed path takes its kind of task."""


Way = dict[Group, Path]
CostOfRows = Callable[[PathCost, int], float]


@dataclass(frozen=True)
class Costs:
    """Of each way; `mixed` is None where there is no such path. Composing counts as one row."""

    grouped: PathCost
    compose: PathCost
    mixed: PathCost | None


@dataclass(slots=True)
class _Tries:
    """Of batches of one size: how many were planned, and what the next try may cost."""

    plans: int = 0
    spare_seconds: float = 0.0


class Planner:
    """Tells when to compose, too: when a task has cost as much without as composing it would.

    That rule of whoever rents until a purchase would have been paid never costs twice what the best
    plan does. It remembers 4,096 tasks.
    """

    def __init__(self, costs: Costs, forward_path: ForwardPath = "auto") -> None:
        self.costs = costs
        self.forward_path = forward_path
        self._tries: dict[int, _Tries] = {}
        self._paid: OrderedDict[str, float] = OrderedDict()

    def plan(self, groups: Sequence[Group]) -> list[Path]:
        """A path for each group: of three plans the one that should take the least time.

        All groups mixed; none; or those for which the rows' part of a mixed pass costs less than
        doing without it.

        What is never done is never found to have become cheap, so now and then a batch is run by
        the next best one: the less dearer that is, the more often, and all tries together add no
        more than a hundredth to what batches should take.
        """
        if len(groups) == 1:
            return [self._alone(groups[0])]
        way = self._way(Counter(groups))
        return [way[group] for group in groups]

    def _alone(self, group: Group) -> Path:
        # As `_way` would, in a third of the time: most batches of a service at ease are one task's.
        without: Path = "grouped" if group.at_hand else "composed"
        costs, rows = self.costs, group.rows
        if costs.mixed is None or not group.may_mix or self.forward_path == "grouped":
            return without
        if self.forward_path == "mixed":
            return "mixed"
        mixed_seconds, seconds = costs.mixed.seconds(rows), costs.grouped.seconds(rows)
        if not group.at_hand:
            seconds += costs.compose.seconds(1)
        best: Path
        another: Path
        best, another = ("mixed", without) if mixed_seconds <= seconds else (without, "mixed")
        least, more = min(mixed_seconds, seconds), max(mixed_seconds, seconds)
        if self._tries_now({group: 1}, least, more, {group: best}, {group: another}):
            return another
        return best

    def _way(self, kinds: Mapping[Group, int]) -> Way:
        grouped: Way = {kind: "grouped" if kind.at_hand else "composed" for kind in kinds}
        if self.costs.mixed is None or self.forward_path == "grouped":
            return grouped
        mixed: Way = {
            kind: "mixed" if kind.may_mix else without for kind, without in grouped.items()
        }
        if self.forward_path == "mixed":
            return mixed
        ways = [mixed, grouped]
        if len(kinds) > 1:
            each = self._each_by_its_own_rows(kinds, mixed, self.costs.mixed)
            ways += [] if each in ways else [each]
        plans = [(self._seconds(kinds, way), way) for way in ways]
        plans.sort(key=itemgetter(0))
        (least, best), (seconds, another) = plans[:2]
        if best == another or not self._tries_now(kinds, least, seconds, best, another):
            return best
        return another

    def _each_by_its_own_rows(
        self, kinds: Mapping[Group, int], mixed_way: Way, mixed: PathCost
    ) -> Way:
        rows = _rows(kinds)
        row_seconds = mixed.correction(rows) * mixed.row_seconds
        compose_seconds = self.costs.compose.seconds(1)
        way = dict(mixed_way)
        for kind in kinds:
            without = self.costs.grouped.seconds(kind.rows)
            if without + (0.0 if kind.at_hand else compose_seconds) < kind.rows * row_seconds:
                way[kind] = "grouped" if kind.at_hand else "composed"
        return way

    def _tries_now(
        self, kinds: Mapping[Group, int], least: float, seconds: float, best: Way, another: Way
    ) -> bool:
        size = _rows(kinds).bit_length()
        tries = self._tries.get(size)
        if tries is None:
            tries = self._tries[size] = _Tries()
        tries.plans += 1
        tries.spare_seconds += _SHARE_FOR_TRIES * least
        if tries.plans % _TRY_AT_MOST_EVERY or tries.spare_seconds < seconds - least:
            return False
        # By what was measured at the start: a correction that is wrong must not forbid for ever
        # the tries that would mend it.
        first, second = (
            self._seconds(kinds, way, PathCost.measured_seconds) for way in (best, another)
        )
        if second > _NOT_MUCH_DEARER * first:
            return False
        tries.spare_seconds = 0.0
        return True

    def explained(self) -> dict[str, Any]:
        """The costs that plans are made by, for people: microseconds, measured at the start."""
        ways = {"grouped": self.costs.grouped, "mixed": self.costs.mixed}
        costs = {
            name: {
                "fixed_us": round(1e6 * cost.fixed_seconds, 1),
                "row_us": round(1e6 * cost.row_seconds, 2),
                "correction_of_rows": {
                    rows: round(cost.correction(rows), 3) for rows in (1, 16, 64, 256)
                },
            }
            for name, cost in ways.items()
            if cost is not None
        }
        compose_us = round(1e6 * self.costs.compose.seconds(1), 1)
        return {**costs, "compose_us": compose_us, "tasks_counted": len(self._paid)}

    def seconds(self, groups: Sequence[Group], paths: Sequence[Path]) -> float:
        """What the batch will take that way."""
        return self._sum(((group, path, 1) for group, path in zip(groups, paths, strict=True)))

    def _seconds(
        self, kinds: Mapping[Group, int], way: Way, of: CostOfRows = PathCost.seconds
    ) -> float:
        return self._sum(((kind, way[kind], count) for kind, count in kinds.items()), of)

    def _sum(
        self, parts: Iterable[tuple[Group, Path, int]], of: CostOfRows = PathCost.seconds
    ) -> float:
        total, mixed_rows = 0.0, 0
        for group, path, count in parts:
            if path == "mixed":
                mixed_rows += count * group.rows
            else:
                total += count * of(self.costs.grouped, group.rows)
                total += count * of(self.costs.compose, 1) if path == "composed" else 0.0
        if mixed_rows and self.costs.mixed is not None:
            total += of(self.costs.mixed, mixed_rows)
        return total

    def wants_composed(self, groups: Sequence[tuple[str, int]], mixed_rows: int) -> list[int]:
        """Which of the groups, each a key and rows that just ran mixed, composing pays for.

        Each time once; from then on it is counted anew.
        """
        mixed = self.costs.mixed
        if mixed is None or self.forward_path != "auto":
            return []
        savings = {rows: self._saving(rows, mixed_rows, mixed) for rows in {r for _, r in groups}}
        return [
            index
            for index, (key, rows) in enumerate(groups)
            if savings[rows] > 0 and self._has_paid(key, savings[rows])
        ]

    def _saving(self, rows: int, mixed_rows: int, mixed: PathCost) -> float:
        others = mixed_rows - rows
        extra = mixed.seconds(mixed_rows) - (mixed.seconds(others) if others else 0.0)
        return extra - self.costs.grouped.seconds(rows)

    def _has_paid(self, key: str, saving: float) -> bool:
        paid = self._paid.pop(key, 0.0) + saving
        if paid >= self.costs.compose.seconds(1):
            return True
        self._paid[key] = paid
        if len(self._paid) > _MOST_REMEMBERED:
            self._paid.popitem(last=False)
        return False


def _rows(kinds: Mapping[Group, int]) -> int:
    return sum(count * kind.rows for kind, count in kinds.items())
