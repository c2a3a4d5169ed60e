"""Which way each task's rows of a batch are computed, by what each costs here. Computes nothing.

Rows of a task may run on its composed weights, which are at hand or are composed first; or together
with those of other tasks, without any.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.engine.path_cost import PathCost

Path = Literal["grouped", "composed", "mixed"]
"""grouped: on composed weights that are at hand. composed: on weights composed for it. mixed:
without composed weights, rows of any tasks in one pass."""

_MOST_REMEMBERED = 4096
_TRY_ANOTHER_EVERY = 128
_NOT_MUCH_DEARER = 8.0


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


class Planner:
    """Tells when to compose, too: when a task has cost as much without as composing it would.

    That rule of whoever rents until a purchase would have been paid never costs twice what the best
    plan does. It remembers 4,096 tasks.
    """

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self._plans_made = 0
        self._paid: OrderedDict[str, float] = OrderedDict()

    def plan(self, groups: Sequence[Group]) -> list[Path]:
        """A path for each group: of three plans the one that should take the least time.

        One batch in 128 is run by the next best one, where that is not much dearer: what is never
        done is never found to have become cheap.
        """
        grouped: list[Path] = ["grouped" if group.at_hand else "composed" for group in groups]
        if self.costs.mixed is None:
            return grouped
        mixed: list[Path] = [
            "mixed" if group.may_mix else without
            for group, without in zip(groups, grouped, strict=True)
        ]
        missing: list[Path] = [
            "mixed" if group.may_mix and not group.at_hand else without
            for group, without in zip(groups, grouped, strict=True)
        ]
        plans = sorted((mixed, missing, grouped), key=lambda paths: self.seconds(groups, paths))
        self._plans_made = (self._plans_made + 1) % _TRY_ANOTHER_EVERY
        if not self._plans_made:
            best, *others = plans
            another = next((plan for plan in others if plan != best), best)
            if self.seconds(groups, another) < _NOT_MUCH_DEARER * self.seconds(groups, best):
                return another
        return plans[0]

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
        total, mixed_rows = 0.0, 0
        for group, path in zip(groups, paths, strict=True):
            if path == "mixed":
                mixed_rows += group.rows
            else:
                total += self.costs.grouped.seconds(group.rows)
                total += self.costs.compose.seconds(1) if path == "composed" else 0.0
        if mixed_rows and self.costs.mixed is not None:
            total += self.costs.mixed.seconds(mixed_rows)
        return total

    def wants_composed(self, key: str, rows: int, mixed_rows: int) -> bool:
        """Whether composing the task of `key` pays; its `rows` of `mixed_rows` just ran mixed.

        True once; from then on it is counted anew.
        """
        mixed = self.costs.mixed
        if mixed is None:
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
