import asyncio

import pytest

from service.engine.batches.loop_share import LoopShare

pytestmark = pytest.mark.anyio


class Loop:
    """Batches on a clock of their own, beside someone who takes `others_seconds` of every turn."""

    def __init__(self, others_seconds: float) -> None:
        self.now = 0.0
        self.turns = 0
        self.share = LoopShare(lambda: self.now)
        self._others_seconds = others_seconds

    async def compute(self, batches: int, seconds: float) -> None:
        others = asyncio.create_task(self.others())
        await asyncio.sleep(0)
        for _ in range(batches):
            self.now += seconds
            await self.share.give_way()
        others.cancel()

    async def others(self) -> None:
        while True:
            self.turns += 1
            self.now += self._others_seconds
            await asyncio.sleep(0)


async def test_batches_have_thrice_the_time_of_all_others_together() -> None:
    loop = Loop(others_seconds=0.002)
    await loop.compute(600, seconds=0.001)
    assert loop.now / loop.turns == pytest.approx(0.002 + 0.006, rel=0.02)


async def test_batches_longer_than_that_leave_others_a_turn_after_each() -> None:
    loop = Loop(others_seconds=0.001)
    await loop.compute(50, seconds=0.004)
    assert loop.turns == pytest.approx(50, abs=1)


async def test_others_wait_for_twenty_milliseconds_of_batches_at_most() -> None:
    loop = Loop(others_seconds=1.0)
    await loop.compute(200, seconds=0.001)
    assert loop.turns == pytest.approx(200 / 20, abs=1)


async def test_batch_is_due_within_others_turn_once_they_had_a_third_of_its_time() -> None:
    loop = Loop(others_seconds=0.0)
    seen = []

    async def reads_for_long() -> None:
        for _ in range(4):
            loop.now += 0.001
            seen.append(loop.share.is_due(0.0089))
        loop.share.give()
        seen.append(loop.share.is_due(0.0089))

    reading = asyncio.create_task(reads_for_long())
    assert not loop.share.is_due(0.0)  # batches have the loop
    loop.share.give()
    await reading
    assert seen == [False, False, True, True, False]
    loop.share.take()
    assert not loop.share.is_due(0.0)
