import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import inf

import numpy as np
import pytest

from service.engine.batches.admission import BatchLimits
from service.engine.batches.batcher import Batcher
from service.engine.batches.waiting import Outcome
from service.engine.registry.entries import Answer, Entry, Rows, Terms
from service.errors import DeadlinePassed, Saturated, ShuttingDown, WouldBeLate
from service.watching.telemetry import Telemetry
from tests.service.engine.virtual_time import HeldExecutor

pytestmark = pytest.mark.anyio

ANYONE = Terms("caller")


class Doubling:
    """Doubles rows and remembers batches; it takes `seconds` a row on `now`, its own clock."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[float]] = []
        self.seconds = seconds
        self.passed = 0.0

    def now(self) -> float:
        return time.monotonic() + self.passed

    def __call__(self, entries: Sequence[Entry[None]]) -> list[Answer]:
        self.batches.append([value for entry in entries for value in entry.rows[:, 0].tolist()])
        self.passed += self.seconds * len(self.batches[-1])
        return [entry.rows * 2 for entry in entries]


def rows(*values: float) -> Rows:
    return np.array(values, dtype=np.float32).reshape(-1, 1)


class Bench:
    """A batcher whose batches end when told."""

    def __init__(self, telemetry: Telemetry, limits: BatchLimits, seconds: float = 0.0) -> None:
        self.compute = Doubling(seconds)
        self.executor = HeldExecutor()
        self.batcher: Batcher[None] = Batcher(
            self.compute, self.executor, limits, telemetry, self.compute.now
        )

    async def ask(
        self, *values: float, key: str = "a", caller: str = "caller", deadline: float = inf
    ) -> "asyncio.Task[Rows]":
        submission = self.batcher.submit(key, None, rows(*values), Terms(caller, deadline))
        task = asyncio.create_task(submission)
        await settled()
        return task

    async def learn_costs(self) -> None:
        for values in ([0], [0, 0, 0, 0]):
            await self.ask(*values)
            await self.finish()

    async def finish(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.executor.run_next()
            await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_caller_gets_the_answer_to_its_own_rows(telemetry: Telemetry) -> None:
    batcher = Batcher(Doubling(), ThreadPoolExecutor(1), BatchLimits(8, 64), telemetry)
    sent = [rows(*range(i, i + 1 + i % 3)) for i in range(20)]
    answers = await asyncio.gather(
        *(batcher.submit(f"k{i % 3}", None, r, Terms(f"c{i % 2}")) for i, r in enumerate(sent))
    )
    for given, answer in zip(sent, answers, strict=True):
        assert np.array_equal(answer, given * 2)


async def test_free_engine_takes_everything_that_waits(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(8, 64))
    for value in range(5):
        await bench.ask(value)
    await bench.finish(2)
    assert bench.compute.batches == [[0], [1, 2, 3, 4]]


async def test_request_larger_than_a_batch_is_split_and_others_come_between(
    telemetry: Telemetry,
) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64))
    large = await bench.ask(*range(14))
    small = await bench.ask(100, key="b")
    await bench.finish(3)
    assert small.done()
    assert not large.done()
    await bench.finish(2)
    assert large.result().ravel().tolist() == [2 * value for value in range(14)]
    assert max(len(batch) for batch in bench.compute.batches) <= 4


async def test_hot_task_does_not_starve_another(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(8, 1000))
    for value in range(200):
        await bench.ask(value, key="hot")
    cold = await bench.ask(-1, key="cold")
    await bench.finish(2)
    assert cold.done()


async def test_full_queue_refuses_at_once_and_says_when_to_ask_again(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(4, 8), seconds=1.0)
    await bench.ask(0)
    await bench.finish()
    await bench.ask(0)
    waiting = await bench.ask(1, 2, 3, 4)
    with pytest.raises(Saturated) as refused:
        await bench.batcher.submit("a", None, rows(*range(5)), ANYONE)
    assert refused.value.retry_after_seconds == pytest.approx(2, abs=0.2)
    await bench.finish(2)
    assert waiting.done()
    assert telemetry.registry.get_sample_value("impress_queue_rows") == 0


async def test_busy_caller_leaves_room_for_others(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(4, 16))
    await bench.ask(0)
    outcomes = [await bench.ask(value, caller="busy") for value in range(16)]
    assert sum(isinstance(one.exception(), Saturated) for one in outcomes if one.done()) == 8
    other = await bench.ask(*range(8), caller="other")
    assert not other.done()
    await bench.finish(5)
    assert other.done()


async def test_caller_with_nothing_that_waits_gets_no_more_than_is_free(
    telemetry: Telemetry,
) -> None:
    bench = Bench(telemetry, BatchLimits(4, 16))
    await bench.ask(0)
    await bench.ask(*range(12), caller="busy")
    with pytest.raises(Saturated, match="12 rows wait, 0 of them this caller's: 5 more"):
        await bench.batcher.submit("a", None, rows(*range(5)), Terms("other"))
    assert not (await bench.ask(*range(4), caller="other")).done()


@pytest.mark.parametrize("turns", range(6))
async def test_who_leaves_just_before_its_batch_is_taken_is_not_computed(
    telemetry: Telemetry, turns: int
) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64))
    await bench.ask(0)
    leaving = await bench.ask(1)
    bench.executor.run_next()
    for _ in range(turns):
        await asyncio.sleep(0)
    was_taken = bool(bench.executor.held)
    leaving.cancel()
    await settled()
    assert bool(bench.executor.held) == was_taken


async def test_who_leaves_frees_its_room_before_its_turn(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(4, 4))
    await bench.ask(0)
    leaving = await bench.ask(1, 2, 3, 4)
    assert bench.batcher.waiting_rows == 4
    leaving.cancel()
    await settled()
    assert bench.batcher.waiting_rows == 0
    staying = await bench.ask(5, 6, 7, 8)
    await bench.finish(2)
    assert staying.done()
    assert bench.compute.batches == [[0], [5, 6, 7, 8]]


async def test_what_would_be_late_is_refused_at_once_in_words(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64), seconds=1.0)
    await bench.learn_costs()
    for _ in range(3):
        await bench.ask(1, 2, 3, 4)
    now = bench.compute.now()
    with pytest.raises(WouldBeLate, match=r"would take 1[23].* allows 1\.") as refused:
        await bench.batcher.submit("a", None, rows(5), Terms("caller", now + 1.9))
    assert refused.value.retry_after_seconds > 5
    hopeful = await bench.ask(5, deadline=now + 60)
    assert not hopeful.done()


async def test_other_caller_is_refused_only_for_what_fair_turns_leave_ahead_of_it(
    telemetry: Telemetry,
) -> None:
    bench = Bench(telemetry, BatchLimits(8, 64), seconds=1.0)
    await bench.learn_costs()
    for _ in range(3):
        await bench.ask(*range(8))
    soon = bench.compute.now() + 20
    assert isinstance((await bench.ask(1, deadline=soon)).exception(), WouldBeLate)
    assert not (await bench.ask(1, caller="other", deadline=soon)).done()


async def test_idle_engine_tries_whatever_the_estimate_says(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64), seconds=60.0)
    await bench.learn_costs()
    bench.compute.seconds = 0.001
    hurried = await bench.ask(1, deadline=bench.compute.now() + 1)
    await bench.finish()
    assert hurried.result().item() == 2


async def test_who_waits_beyond_its_deadline_is_told_then_and_never_computed(
    telemetry: Telemetry,
) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64))
    await bench.ask(0)
    late = await bench.ask(1, deadline=bench.compute.now() + 0.01)
    stays = await bench.ask(2)
    with pytest.raises(DeadlinePassed):
        await late
    assert bench.batcher.waiting_rows == 1
    await bench.finish(2)
    assert stays.result().item() == 4
    assert bench.compute.batches == [[0], [2]]
    with pytest.raises(DeadlinePassed):
        await bench.batcher.submit("a", None, rows(1), Terms("caller", 0.0))


async def test_delay_lets_a_batch_fill_but_no_longer_than_a_deadline_allows(
    telemetry: Telemetry,
) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64, delay_ms=60_000), seconds=0.2)
    first = await bench.ask(1, 2)
    assert bench.executor.held == []
    await bench.ask(3, 4)
    await bench.finish()
    assert first.done()
    await bench.ask(5)
    hurried = await bench.ask(6, deadline=bench.compute.now() + 1)
    assert bench.executor.held == []
    await asyncio.sleep(0.3)
    await bench.finish()
    assert hurried.result().item() == 12


async def test_quick_batch_is_computed_without_the_executor(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(8, 64, inline_ms=50), seconds=0.001)
    await bench.ask(1)
    await bench.finish()  # nothing is known of the first one's cost
    quick = await bench.ask(1)
    assert quick.done()
    large = await bench.ask(*range(8))
    assert large.done()
    submitted = (bench.batcher.submit("a", None, rows(value), ANYONE) for value in (1, 2))
    several = [asyncio.create_task(one) for one in submitted]
    await settled()
    assert [one.result().item() for one in several] == [2, 4]
    bench.compute.seconds = 1.0
    await bench.ask(1)
    slow = await bench.ask(1)
    assert not slow.done()
    await bench.finish()


class Told:
    """A waiter that keeps what it was told."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    def done(self) -> bool:
        return self.outcome is not None

    def tell(self, outcome: Outcome) -> None:
        self.outcome = outcome


async def test_others_have_the_loop_between_batches_that_each_come_alone(
    telemetry: Telemetry,
) -> None:
    compute, executor = Doubling(seconds=0.001), HeldExecutor()
    limits = BatchLimits(8, 64, inline_ms=50)
    batcher: Batcher[None] = Batcher(compute, executor, limits, telemetry, lambda: compute.passed)
    learning = asyncio.create_task(batcher.submit("a", None, rows(1), ANYONE))
    await settled()
    executor.run_next()  # nothing was known of the first one's cost
    await learning
    turns, told_in = 0, list[int]()

    async def others() -> None:
        nonlocal turns
        while len(told_in) < 10:
            turns += 1
            await asyncio.sleep(0)

    class AsksAgain(Told):
        def tell(self, outcome: Outcome) -> None:
            super().tell(outcome)
            told_in.append(turns)
            if len(told_in) < 10:
                asyncio.get_running_loop().call_soon(ask)

    def ask() -> None:
        batcher.put("a", None, rows(1), ANYONE, AsksAgain())

    ask()
    await others()
    assert all(later > earlier for earlier, later in pairwise(told_in))


async def test_full_queue_is_worked_off_by_quick_batches_while_others_keep_the_event_loop(
    telemetry: Telemetry,
) -> None:
    compute, executor, told = Doubling(seconds=0.001), HeldExecutor(), list[Told]()
    limits = BatchLimits(4, 8, inline_ms=50)
    batcher: Batcher[None] = Batcher(compute, executor, limits, telemetry, lambda: compute.passed)

    def ask(caller: int) -> None:
        waiter = Told()
        batcher.put("a", None, rows(0, 1, 2, 3), Terms(str(caller)), waiter)
        told.append(waiter)

    ask(0)
    await settled()
    executor.run_next()  # nothing was known of the first one's cost
    await settled()
    told.clear()
    ask(0)
    while not told[0].done():  # noqa: ASYNC110 to the turn in which it is
        await asyncio.sleep(0)
    # From here on nobody else has the loop.
    ask(1)
    ask(2)
    with pytest.raises(Saturated):
        ask(3)
    compute.passed += 1
    ask(4)
    with pytest.raises(Saturated):
        ask(5)
    with pytest.raises(Saturated):
        batcher.check_room(4, Terms("6"))
    assert [waiter.done() for waiter in told] == [True, True, False, False]
    refused = {"reason": "saturated"}
    assert telemetry.registry.get_sample_value("impress_rejected_total", refused) == 3
    await settled()
    assert all(waiter.done() for waiter in told)


async def test_closed_batcher_answers_what_waits_and_takes_in_no_more(
    telemetry: Telemetry,
) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64))
    busy, waiting = await bench.ask(0), await bench.ask(1)
    closing = asyncio.create_task(bench.batcher.close())
    await settled()
    with pytest.raises(ShuttingDown, match="stopping"):
        await bench.batcher.submit("a", None, rows(1), ANYONE)
    assert not closing.done()
    await bench.finish(2)
    await closing
    assert (busy.result().item(), waiting.result().item()) == (0, 2)


async def test_every_waiter_is_resolved_where_the_executor_is_gone(telemetry: Telemetry) -> None:
    executor = ThreadPoolExecutor(1)
    batcher = Batcher(Doubling(), executor, BatchLimits(8, 64), telemetry)
    executor.shutdown()
    outcomes = await asyncio.wait_for(
        asyncio.gather(
            *(batcher.submit("a", None, rows(i), ANYONE) for i in range(3)),
            return_exceptions=True,
        ),
        5,
    )
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3


async def test_computation_that_answers_too_few_resolves_every_waiter(
    telemetry: Telemetry,
) -> None:
    def forgetful(entries: Sequence[Entry[None]]) -> list[Answer]:
        return [entry.rows for entry in entries[1:]]

    batcher = Batcher(forgetful, ThreadPoolExecutor(1), BatchLimits(8, 64), telemetry)
    with pytest.raises(ValueError, match="expected 1 answers of a batch, got 0"):
        await batcher.submit("a", None, rows(1), ANYONE)


async def test_every_waiter_is_resolved_where_the_run_is_cancelled(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, BatchLimits(4, 64))
    asked = [await bench.ask(0), await bench.ask(1)]
    future, _, _ = bench.executor.held[0]
    future.cancel()
    await settled()
    assert all(one.cancelled() for one in asked)
    assert bench.batcher.waiting_rows == 0
