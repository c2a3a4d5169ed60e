"""Notices that a caller has left, so that its rows are not computed for nobody."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from service.errors import CallerLeft

_WATCH_AFTER_SECONDS = 0.1
"""Most requests are answered earlier, and then nobody looked."""


class WhileCallerWaits:
    """Cancels the block, once the body is read, where the caller closes the connection.

    Raises `CallerLeft` then. Nothing in ASGI says it by itself: somebody has to listen.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False
        self._listening: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_WATCH_AFTER_SECONDS, self._listen_from_now)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
        if self._left and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise CallerLeft("the caller left before the answer was there") from None

    def _listen_from_now(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._task.cancel()
