"""The batcher as a state machine on a real event loop: no order of submissions, cancellations,
failures, deadlines and time ever gives anyone another's answer, error or silence."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from prometheus_client import CollectorRegistry

from service.engine.batches.admission import BatchLimits
from service.engine.batches.batcher import Batcher
from service.engine.batches.isolation import isolated
from service.engine.batches.waiting import AwaitingWaiter
from service.engine.registry.entries import Entry, Rows, Terms, indices_by_key
from service.errors import DeadlinePassed, Saturated, ShuttingDown, WouldBeLate
from service.watching.telemetry import Telemetry
from tests.service.engine.virtual_time import HeldExecutor, VirtualTimeLoop

POISON = 0.5
SECONDS_A_ROW = 0.01
TIMER_SECONDS = 1e-6
"""The event loop's timers are no more exact."""


def ids_of(rows: Rows) -> set[float]:
    """Each row has a number of its own."""
    return set(np.floor(rows[:, 0]).tolist())


class Weights:
    """A payload whose end can be seen."""

    def __init__(self, factor: float) -> None:
        self.factor = factor


class ToldLate(DeadlinePassed):
    """Was admitted and told; counted by whoever is told, where a refusal is counted at once."""


@dataclass(eq=False)
class Asked:
    """A submission, and all that is known of what must become of it."""

    task: "asyncio.Task[Rows]"
    rows: Rows
    factor: float
    caller: str
    deadline: float
    poisoned: bool
    after_close: bool
    cancelled: bool = False
    batches_since: int = 0
    ids: set[float] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = ids_of(self.rows)


class BatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        asyncio.set_event_loop(None)
        self.executor = HeldExecutor()
        self.asked: list[Asked] = []
        self.outcomes: dict[str, int] = {}
        self.payloads: list[weakref.ref[Weights]] = []
        self.computed: set[float] = set()
        self.given_up: set[float] = set()
        self.next_id = 1.0
        self.ending_a_batch = False
        self.closing: asyncio.Task[None] | None = None

    @initialize(
        batch=st.integers(1, 12),
        queue=st.integers(20, 120),
        delay=st.sampled_from([0.0, 0.0, 30.0]),
        inline=st.sampled_from([0.0, 0.0, 15.0, 1000.0]),
    )
    def build(self, batch: int, queue: int, delay: float, inline: float) -> None:
        self.limits = BatchLimits(batch, queue, delay, inline)
        self.telemetry = Telemetry(CollectorRegistry())
        self.batcher: Batcher[Weights] = Batcher(
            self.compute, self.executor, self.limits, self.telemetry, self.loop.time
        )

    def compute(self, entries: Sequence[Entry[Weights]]) -> Sequence[Rows | Exception]:
        """The real grouping and isolation, over a forward pass that takes virtual time."""
        inline = not self.ending_a_batch
        rows = sum(len(entry.rows) for entry in entries)
        for one in self.asked:
            if inline and any(one.ids & ids_of(entry.rows) for entry in entries):
                assert one.deadline > self.loop.time(), "computed though it is late"
        self.loop.advance(SECONDS_A_ROW * rows)
        for entry in entries:
            ids = ids_of(entry.rows)
            assert not ids & self.computed, "computed twice"
            assert not ids & self.given_up, "computed though nobody waits"
            self.computed |= ids
        for one in self.asked:
            one.batches_since += 1
        answers: dict[int, Rows | Exception] = {}
        for indices in indices_by_key(entries).values():
            group = [entries[index] for index in indices]
            answers |= zip(indices, isolated(self.one_task, group), strict=True)
        return [answers[index] for index in range(len(entries))]

    def one_task(self, group: Sequence[Entry[Weights]]) -> list[Rows]:
        rows = np.concatenate([entry.rows for entry in group])
        logits = self.forward(group[0].payload, rows)
        return np.split(logits, np.cumsum([len(entry.rows) for entry in group])[:-1])

    def forward(self, weights: Weights, rows: Rows) -> Rows:
        if (rows % 1 != 0).any():
            raise ArithmeticError("poisoned")
        return rows * weights.factor

    @rule(
        caller=st.sampled_from("AB"),
        key=st.sampled_from([2.0, 3.0, 5.0]),
        size=st.integers(1, 4) | st.integers(1, 20),
        timeout=st.sampled_from([inf, inf, 0.0, 0.02, 0.1, 0.3]),
        poisoned=st.sampled_from([False, False, False, True]),
        put=st.booleans(),
        settle=st.booleans(),
    )
    def submit(
        self,
        caller: str,
        key: float,
        size: int,
        timeout: float,
        poisoned: bool,
        put: bool,
        settle: bool,
    ) -> None:
        rows = np.arange(self.next_id, self.next_id + size, dtype=np.float32).reshape(-1, 1)
        self.next_id += size
        if poisoned:
            rows[-1] += POISON
        weights = Weights(key)
        self.payloads.append(weakref.ref(weights))
        deadline = self.loop.time() + timeout
        terms = Terms(caller, deadline)
        put = put and size <= self.limits.batch_rows
        ask = self.put if put else self.batcher.submit
        task = self.loop.create_task(ask(str(key), weights, rows, terms))
        self.asked.append(
            Asked(task, rows, key, caller, deadline, poisoned, self.closing is not None)
        )
        if settle:
            self.settle()

    async def put(self, key: str, weights: Weights, rows: Rows, terms: Terms) -> Rows:
        """As whoever awaits nothing does it, made a task so that both look alike from here."""
        waiter = AwaitingWaiter()
        waiting = self.batcher.put(key, weights, rows, terms, waiter)
        del weights
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            self.batcher.leave(waiting)
            raise
        except DeadlinePassed as error:
            raise ToldLate from error

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), settle=st.booleans())
    def cancel(self, data: st.DataObject, settle: bool) -> None:
        one = data.draw(st.sampled_from(self.asked))
        one.cancelled |= one.task.cancel()
        self.given_up |= one.ids - self.computed - self.under_way()
        if settle:
            self.settle()

    @precondition(lambda self: self.executor.held)
    @rule(most=st.integers(1, 6))
    def finish_batches(self, most: int) -> None:
        while self.executor.held and most:
            self.end_a_batch()
            self.settle()
            most -= 1

    @precondition(lambda self: self.executor.held)
    @rule()
    def end_a_batch(self) -> None:
        self.ending_a_batch = True
        self.executor.run_next()
        self.ending_a_batch = False

    @rule(seconds=st.sampled_from([0.001, 0.025, 0.1, 1.0]), settle=st.booleans())
    def let_time_pass(self, seconds: float, settle: bool) -> None:
        self.loop.advance(seconds)
        if settle:
            self.settle()

    @precondition(lambda self: self.closing is None and self.next_id > 150)
    @rule()
    def close(self) -> None:
        self.closing = self.loop.create_task(self.batcher.close())
        self.settle()

    def settle(self) -> None:
        """Let everything happen that is due, then look; rules may skip it to act in one go."""
        self.loop.settle()
        self.each_outcome_is_its_own()
        self.waiting_rows_are_those_of_requests_that_wait()
        self.engine_is_never_idle_while_rows_wait()
        self.nobody_waits_beyond_its_deadline()
        self.nobody_starves()

    def each_outcome_is_its_own(self) -> None:
        for one in [one for one in self.asked if one.task.done()]:
            self.asked.remove(one)
            kind = self.outcome(one)
            self.outcomes[kind] = self.outcomes.get(kind, 0) + 1

    def under_way(self) -> set[float]:
        held = [entry for _, _, (entries,) in self.executor.held for entry in entries]
        return set().union(*(ids_of(entry.rows) for entry in held))

    def outcome(self, one: Asked) -> str:
        if one.task.cancelled():
            assert one.cancelled
            return "left"
        error = one.task.exception()
        assert one.after_close == isinstance(error, ShuttingDown)
        if error is None:
            assert not one.poisoned
            assert np.array_equal(one.task.result(), one.rows * one.factor)
            assert one.ids <= self.computed
            return "answered"
        if isinstance(error, ArithmeticError):
            assert one.poisoned
            return "failed"
        if isinstance(error, DeadlinePassed):
            assert self.loop.time() > one.deadline - TIMER_SECONDS
            self.given_up |= one.ids - self.computed - self.under_way()
            return "told that it expired" if isinstance(error, ToldLate) else "expired"
        assert not one.ids & self.computed
        if isinstance(error, WouldBeLate):
            assert one.deadline < inf
            assert error.retry_after_seconds > 0
            return "late"
        if isinstance(error, ShuttingDown):
            return "closed"
        assert isinstance(error, Saturated)
        return "saturated"

    def waiting_rows_are_those_of_requests_that_wait(self) -> None:
        waiting = {row for one in self.asked for row in one.ids} - self.computed
        assert self.batcher.waiting_rows == len(waiting - self.under_way())
        assert self.batcher.waiting_rows <= self.limits.queue_rows
        sampled = self.telemetry.registry.get_sample_value("impress_queue_rows")
        assert sampled == self.batcher.waiting_rows

    def engine_is_never_idle_while_rows_wait(self) -> None:
        if self.batcher.waiting_rows and not self.limits.delay_ms:
            assert self.executor.held

    def nobody_waits_beyond_its_deadline(self) -> None:
        assert all(one.deadline > self.loop.time() - TIMER_SECONDS for one in self.asked)

    def nobody_starves(self) -> None:
        # Two callers of three tasks: each round gives every flow an eighth of a batch, a request
        # is at most twenty rows, and two batches together hold more than one is allowed.
        quantum = max(1, self.limits.batch_rows // 8)
        largest = min(20, self.limits.batch_rows)
        own = 2 * self.limits.queue_rows + 2 * (largest + quantum)
        most_rows = 2 * own + largest + quantum
        assert all(
            one.batches_since <= 2 * most_rows / self.limits.batch_rows + 2 for one in self.asked
        )

    def teardown(self) -> None:
        try:
            if hasattr(self, "batcher"):
                self.everyone_is_answered_and_nothing_is_left()
        finally:
            self.loop.close()

    def everyone_is_answered_and_nothing_is_left(self) -> None:
        self.settle()
        if self.closing is None:
            self.close()
        while self.executor.held:
            self.finish_batches(most=1)
        assert self.asked == []
        assert self.closing is not None
        assert self.closing.done()
        assert asyncio.all_tasks(self.loop) == set()
        assert self.batcher.waiting_rows == 0
        for reason in ("saturated", "late", "expired", "closed"):
            counted = self.telemetry.registry.get_sample_value(
                "impress_rejected_total", {"reason": reason}
            )
            assert counted == self.outcomes.get(reason, 0), reason
        for generation in range(3):  # tracebacks of errors are cycles, and mostly young
            if any(payload() is not None for payload in self.payloads):
                gc.collect(generation)
        assert [payload for payload in self.payloads if payload() is not None] == []


BatcherMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBatcher = BatcherMachine.TestCase
