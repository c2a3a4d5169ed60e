"""Fair shares, by example and as a state machine over any order of puts, removes and takes."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.engine.batches.fair_queue import FairQueue, Place

CALLERS = st.sampled_from("ABC")
KEYS = st.sampled_from("xyz")


def queue_of(*items: tuple[str, str, int], quantum: int = 4) -> FairQueue[tuple[str, str, int]]:
    queue: FairQueue[tuple[str, str, int]] = FairQueue(quantum)
    for item in items:
        queue.put(*item, item)
    return queue


def test_lone_hot_task_fills_a_batch() -> None:
    queue = queue_of(*[("A", "x", 1)] * 40)
    assert len(queue.take(32)) == 32
    assert len(queue.take(32)) == 8


def test_items_of_one_task_keep_their_order() -> None:
    queue: FairQueue[int] = FairQueue(4)
    for number in range(30):
        queue.put("A", "x", 1 + number % 3, number)
    taken = [item for _ in range(30) for item in queue.take(7)]
    assert taken == list(range(30))


def test_hot_task_leaves_half_of_each_batch_to_another_task_of_its_caller() -> None:
    queue = queue_of(*[("A", "hot", 1)] * 100, *[("A", "cold", 1)] * 20)
    keys = Counter(key for _, key, _ in queue.take(16))
    assert keys == {"hot": 8, "cold": 8}


def test_caller_of_many_tasks_gets_no_more_than_a_caller_of_one() -> None:
    many = [("A", f"t{number}", 1) for number in range(100)]
    queue = queue_of(*many, *[("B", "t0", 1)] * 100)
    callers = Counter(caller for caller, _, _ in queue.take(32))
    assert callers == {"A": 16, "B": 16}


def test_rows_are_shared_not_items() -> None:
    queue = queue_of(*[("A", "x", 8)] * 40, *[("B", "x", 1)] * 100)
    rows: Counter[str] = Counter()
    for _ in range(8):
        for caller, _, size in queue.take(16):
            rows[caller] += size
    assert abs(rows["A"] - rows["B"]) <= 8 + 4


def test_what_does_not_fit_is_the_first_of_the_next_batch() -> None:
    queue = queue_of(("A", "x", 6), ("B", "x", 6), ("C", "x", 1), quantum=8)
    assert queue.take(8) == [("A", "x", 6)]
    assert queue.take(8) == [("B", "x", 6), ("C", "x", 1)]


def test_item_larger_than_a_batch_goes_alone() -> None:
    queue = queue_of(("A", "x", 1), ("A", "x", 50), ("A", "x", 1))
    assert [len(queue.take(8)) for _ in range(3)] == [1, 1, 1]


def test_quantum_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        FairQueue(0)


@given(
    items=st.lists(st.tuples(CALLERS, KEYS, st.integers(1, 9)), min_size=1, max_size=60),
    last=st.tuples(CALLERS, KEYS, st.integers(1, 9)),
    quantum=st.integers(1, 8),
    before=st.integers(0, 5),
)
def test_no_more_rows_than_said_are_taken_until_an_item_is_through(
    items: list[tuple[str, str, int]], last: tuple[str, str, int], quantum: int, before: int
) -> None:
    queue: FairQueue[int] = FairQueue(quantum)
    sizes = [size for _, _, size in (*items, last)]
    for number, item in enumerate(items):
        queue.put(*item, number)
    for _ in range(before):  # so that credits are not all those of a beginning
        queue.take(7)
    said = queue.rows_until_through(*last)
    assert said <= queue.rows + last[2]
    queue.put(*last, len(items))
    rows, taken = 0, -1
    while taken != len(items):
        (taken,) = queue.take(1)
        rows += sizes[taken]
    assert rows <= said


@dataclass
class Waits:
    place: Place["Waits"] | None
    rows: int
    ahead: int
    """Rows of its own flow that were there before."""
    passed: int = 0
    """Rows of others taken since it waits."""


class FairQueueMachine(RuleBasedStateMachine):
    """Against a plain list: what waits, in each flow's order, and nobody starved."""

    QUANTUM, LARGEST, BUDGET = 3, 9, 12

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[Waits] = FairQueue(self.QUANTUM)
        self.waiting: list[Waits] = []

    def flow(self, waits: Waits) -> tuple[str, str]:
        assert waits.place is not None
        return waits.place.caller, waits.place.key

    @rule(caller=CALLERS, key=KEYS, rows=st.integers(1, LARGEST))
    def put(self, caller: str, key: str, rows: int) -> None:
        ahead = sum(one.rows for one in self.waiting if self.flow(one) == (caller, key))
        waits = Waits(None, rows, ahead)
        waits.place = self.queue.put(caller, key, rows, waits)
        self.waiting.append(waits)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        waits = data.draw(st.sampled_from(self.waiting))
        assert waits.place is not None
        assert self.queue.remove(waits.place)
        assert not self.queue.remove(waits.place)
        self.waiting.remove(waits)

    @rule()
    def take(self) -> None:
        taken = self.queue.take(self.BUDGET)
        assert bool(taken) == bool(self.waiting)
        assert len(taken) <= 1 or sum(one.rows for one in taken) <= self.BUDGET
        for one in taken:
            first = next(w for w in self.waiting if self.flow(w) == self.flow(one))
            assert one is first
            self.waiting.remove(one)
            for other in self.waiting:
                other.passed += one.rows if self.flow(other) != self.flow(one) else 0

    @invariant()
    def rows_are_those_that_wait(self) -> None:
        assert self.queue.rows == sum(one.rows for one in self.waiting)
        for caller in "ABC":
            own = sum(one.rows for one in self.waiting if self.flow(one)[0] == caller)
            assert self.queue.rows_of(caller) == own

    @invariant()
    def nobody_is_passed_by_more_than_the_rounds_it_needs(self) -> None:
        def by_others(rows: int, others: int) -> int:
            rounds = -(-rows // self.QUANTUM) + 1
            return others * (self.LARGEST + rounds * self.QUANTUM)

        for one in self.waiting:
            own = one.ahead + one.rows
            own += by_others(own, others=2)  # the caller's other tasks
            assert one.passed <= own + by_others(own, others=2)  # the other callers


FairQueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestFairQueue = FairQueueMachine.TestCase
