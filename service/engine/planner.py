"""Which way each task's rows of a batch are computed, by what each costs here. Computes nothing.

Rows of a task may run on its composed weights, which are at hand or are composed first; or together
with those of other tasks, without any.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from service.engine.path_cost import PathCost

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


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one task in a batch."""

    rows: int
    at_hand: bool
    """Whether its composed weights are."""
    may_mix: bool
    """Whether the mixed path takes its kind of task."""


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
        grouped: list[Path] = ["grouped" if group.at_hand else "composed" for group in groups]
        if self.costs.mixed is None or self.forward_path == "grouped":
            return grouped
        mixed: list[Path] = [
            "mixed" if group.may_mix else without
            for group, without in zip(groups, grouped, strict=True)
        ]
        if self.forward_path == "mixed":
            return mixed
        ways = [mixed, grouped]
        if len(groups) > 1:
            dearer = self._dearer_mixed(groups, self.costs.mixed)
            each: list[Path] = [
                without if (group.rows, group.at_hand) in dearer else path
                for group, path, without in zip(groups, mixed, grouped, strict=True)
            ]
            ways += [] if each in ways else [each]
        plans = [(self.seconds(groups, way), way) for way in ways]
        plans.sort(key=itemgetter(0))
        (least, best), (seconds, another) = plans[:2]
        if best == another or not self._tries_now(groups, least, seconds, best, another):
            return best
        return another

    def _dearer_mixed(self, groups: Sequence[Group], mixed: PathCost) -> set[tuple[int, bool]]:
        """Rows, and whether weights are at hand, of groups that had better not join the others."""
        rows = sum([group.rows for group in groups])
        row_seconds = mixed.correction(rows) * mixed.row_seconds
        compose_seconds = self.costs.compose.seconds(1)
        # Most groups of a batch are of the same few sizes.
        return {
            (rows, at_hand)
            for rows, at_hand in {(group.rows, group.at_hand) for group in groups}
            if self.costs.grouped.seconds(rows) + (0.0 if at_hand else compose_seconds)
            < rows * row_seconds
        }

    def _tries_now(
        self,
        groups: Sequence[Group],
        least: float,
        seconds: float,
        best: Sequence[Path],
        another: Sequence[Path],
    ) -> bool:
        size = sum([group.rows for group in groups]).bit_length()
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
            self.seconds(groups, plan, PathCost.measured_seconds) for plan in (best, another)
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

    def seconds(
        self,
        groups: Sequence[Group],
        paths: Sequence[Path],
        of: Callable[[PathCost, int], float] = PathCost.seconds,
    ) -> float:
        """What the batch will take that way, by `of` each path's cost."""
        total, mixed_rows = 0.0, 0
        for group, path in zip(groups, paths, strict=True):
            if path == "mixed":
                mixed_rows += group.rows
            else:
                total += of(self.costs.grouped, group.rows)
                total += of(self.costs.compose, 1) if path == "composed" else 0.0
        if mixed_rows and self.costs.mixed is not None:
            total += of(self.costs.mixed, mixed_rows)
        return total

    def wants_composed(self, key: str, rows: int, mixed_rows: int) -> bool:
        """Whether composing the task of `key` pays; its `rows` of `mixed_rows` just ran mixed.

        True once; from then on it is counted anew.
        """
        mixed = self.costs.mixed
        if mixed is None or self.forward_path != "auto":
            return False
        others = mixed_rows - rows
        extra = mixed.seconds(mixed_rows) - (mixed.seconds(others) if others else 0.0)
        saving = extra - self.costs.grouped.seconds(rows)
        if saving <= 0:
            return False
        paid = self._paid.pop(key, 0.0) + saving
        if paid >= self.costs.compose.seconds(1):
            return True
        self._paid[key] = paid
        if len(self._paid) > _MOST_REMEMBERED:
            self._paid.popitem(last=False)
        return False
