import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from torch import Tensor

from service.engine.batcher import Batcher, Rows
from service.errors import Saturated
from service.telemetry import Telemetry

pytestmark = pytest.mark.anyio


class SlowDoubling:
    """A forward pass that doubles its rows, fails on negative ones, and can be held back."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, weights: Mapping[str, Tensor], rows: Rows) -> Rows:
        self.may_go.wait(10)
        self.batches.append(rows[:, 0].tolist())
        if (rows < 0).any():
            raise ArithmeticError("negative")
        return rows * 2


def rows(*values: float) -> Rows:
    return np.array(values, dtype=np.float32).reshape(-1, 1)


@pytest.fixture
def forward() -> SlowDoubling:
    return SlowDoubling()


def batcher_on(
    forward: SlowDoubling, telemetry: Telemetry, batch: int = 8, queue: int = 64
) -> Batcher:
    return Batcher(forward, ThreadPoolExecutor(1), batch, queue, telemetry)


async def hold(batcher: Batcher, forward: SlowDoubling) -> "asyncio.Task[Rows]":
    """Keep the engine busy, so that what is submitted next waits."""
    forward.may_go.clear()
    task = asyncio.create_task(batcher.submit("busy", {}, rows(0)))
    await asyncio.sleep(0.05)
    return task


async def test_each_caller_gets_the_answer_to_its_own_rows(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    batcher = batcher_on(forward, telemetry)
    sent = [rows(*range(i, i + 1 + i % 3)) for i in range(20)]
    answers = await asyncio.gather(
        *(batcher.submit(f"k{i % 3}", {}, r) for i, r in enumerate(sent))
    )
    for given, answer in zip(sent, answers, strict=True):
        assert np.array_equal(answer, given * 2)


async def test_rows_of_one_task_that_wait_share_a_forward(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    batcher = batcher_on(forward, telemetry)
    busy = await hold(batcher, forward)
    waiting = [
        asyncio.create_task(batcher.submit(key, {}, rows(value)))
        for key, value in (("a", 1), ("b", 2), ("a", 3))
    ]
    await asyncio.sleep(0.01)
    forward.may_go.set()
    await asyncio.gather(busy, *waiting)
    assert forward.batches == [[0], [1, 3], [2]]


async def test_cancelled_request_does_not_hurt_batchmates_and_is_not_computed(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    batcher = batcher_on(forward, telemetry)
    busy = await hold(batcher, forward)
    leaves = asyncio.create_task(batcher.submit("a", {}, rows(1)))
    stays = asyncio.create_task(batcher.submit("a", {}, rows(2)))
    await asyncio.sleep(0.01)
    leaves.cancel()
    forward.may_go.set()
    assert (await stays).item() == 4
    assert forward.batches == [[0], [2]]
    await busy


async def test_request_cancelled_while_it_is_computed_does_not_hurt_batchmates(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    batcher = batcher_on(forward, telemetry)
    busy = await hold(batcher, forward)
    busy.cancel()
    later = asyncio.create_task(batcher.submit("a", {}, rows(5)))
    await asyncio.sleep(0.01)
    forward.may_go.set()
    assert (await later).item() == 10


async def test_failing_request_fails_alone(forward: SlowDoubling, telemetry: Telemetry) -> None:
    batcher = batcher_on(forward, telemetry)
    busy = await hold(batcher, forward)
    good = [asyncio.create_task(batcher.submit("a", {}, rows(i))) for i in (1, 2)]
    bad = asyncio.create_task(batcher.submit("a", {}, rows(-1)))
    other = asyncio.create_task(batcher.submit("b", {}, rows(7)))
    await asyncio.sleep(0.01)
    forward.may_go.set()
    with pytest.raises(ArithmeticError):
        await bad
    assert [(await one).item() for one in (*good, other)] == [2, 4, 14]
    await busy


async def test_batch_never_exceeds_its_budget_of_rows_but_for_one_large_request(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    batcher = batcher_on(forward, telemetry, batch=4)
    busy = await hold(batcher, forward)
    sizes = [3, 2, 2, 6, 1]
    waiting = [asyncio.create_task(batcher.submit("a", {}, rows(*range(n)))) for n in sizes]
    await asyncio.sleep(0.01)
    forward.may_go.set()
    await asyncio.gather(busy, *waiting)
    assert [len(batch) for batch in forward.batches] == [1, 3, 4, 6, 1]


async def test_full_queue_refuses_at_once_and_has_room_again_later(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    batcher = batcher_on(forward, telemetry, queue=3)
    busy = await hold(batcher, forward)
    waiting = asyncio.create_task(batcher.submit("a", {}, rows(1, 2)))
    await asyncio.sleep(0.01)
    with pytest.raises(Saturated):
        await batcher.submit("a", {}, rows(1, 2))
    forward.may_go.set()
    await asyncio.gather(busy, waiting)
    assert len(await batcher.submit("a", {}, rows(1, 2))) == 2
    assert telemetry.registry.get_sample_value("impress_queue_rows") == 0


async def test_every_waiter_is_resolved_where_the_executor_is_gone(
    forward: SlowDoubling, telemetry: Telemetry
) -> None:
    executor = ThreadPoolExecutor(1)
    batcher = Batcher(forward, executor, 8, 64, telemetry)
    executor.shutdown()
    outcomes = await asyncio.wait_for(
        asyncio.gather(
            *(batcher.submit("a", {}, rows(i)) for i in range(3)), return_exceptions=True
        ),
        5,
    )
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3
