"""An event loop whose clock moves only when told, and an executor that computes when told."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A real event loop on which every order of things can be had, and had again."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def settle(self) -> None:
        """Let everything happen that is due, without time passing."""
        self.run_until_complete(self._until_nothing_is_ready())

    async def _until_nothing_is_ready(self) -> None:
        await asyncio.sleep(0)
        # asyncio has no public way to ask whether anything is due.
        while self._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)


class HeldExecutor(Executor):
    """Keeps what is submitted until `run_next`, so that a test decides how long a batch takes."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert not kwargs
        future: Future[Any] = Future()
        self.held.append((future, fn, args))
        return future

    def run_next(self) -> None:
        future, fn, args = self.held.pop(0)
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
