import asyncio

import pytest
from starlette.types import Message

from service.errors import CallerLeft
from service.routes.departure import WhileCallerWaits

pytestmark = pytest.mark.anyio


class Caller:
    """The client's end of a request whose body was read."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_work_is_cancelled_when_its_caller_leaves() -> None:
    caller, cancelled = Caller(), False

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            cancelled = True
            raise

    asyncio.get_running_loop().call_later(0.15, caller.left.set)
    with pytest.raises(CallerLeft), WhileCallerWaits(caller.receive):
        await work()
    assert cancelled
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_caller_who_waits_changes_nothing_and_leaves_no_task() -> None:
    with WhileCallerWaits(Caller().receive):
        await asyncio.sleep(0.15)
    with pytest.raises(ArithmeticError), WhileCallerWaits(Caller().receive):
        raise ArithmeticError
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= 2  # this test, and what runs it


async def test_cancellation_from_elsewhere_is_not_taken_for_the_caller_leaving() -> None:
    async def work() -> None:
        with WhileCallerWaits(Caller().receive):
            await asyncio.sleep(20)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
