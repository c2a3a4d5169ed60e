"""Takes turns with whatever else the event loop has to do, where batches are computed on it."""

import asyncio
from collections.abc import Callable

_TIMES_OTHERS = 3
"""So much longer than all others together batches may take: where both never end, an engine that
had one batch each time would compute next to nothing beside a flood of requests."""
_MOST_SECONDS = 0.02
"""No longer than that others wait, beyond the batch under way."""


class LoopShare:
    """Lives on the event loop; knows since when others have it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._own_until = 0.0
        self._others_since: float | None = None

    def give(self) -> None:
        """Others have the loop anew, until batches `take` it."""
        self._others_since = self._clock()

    def take(self) -> None:
        """Batches have the loop for as long as others' turn makes it theirs."""
        if self._others_since is not None:
            now = self._clock()
            others, self._others_since = now - self._others_since, None
            self._own_until = now + min(_TIMES_OTHERS * others, _MOST_SECONDS)

    async def give_way(self) -> None:
        """Let everyone else in once, where the turn of batches is over."""
        if self._clock() >= self._own_until:
            self.give()
            try:
                await asyncio.sleep(0)
            finally:
                self.take()

    def is_due(self, seconds: float) -> bool:
        """Whether others are in, and had it for so long that a batch of `seconds` may come between.

        Their turn is as long as there are requests to read, and may be as long as all of a second.
        """
        since = self._others_since
        return since is not None and _TIMES_OTHERS * (self._clock() - since) >= seconds
