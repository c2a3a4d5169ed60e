"""Rows that callers asked about in earlier requests of a session, so that evidence adds up.

Kept in this process alone, within bounds of rows, bytes and time, and given to nobody else.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.engine.inference.question import Session
from service.engine.registry.entries import Rows
from service.watching.telemetry import Telemetry

_BYTES_BESIDE = 512
"""That a session takes besides its rows."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What is kept, of each session and of all together."""

    rows: int = 64
    """Of a session the last so many."""
    all_bytes: int = 64 << 20
    seconds: float = 300
    """After its last request a session is forgotten."""


class _Kept(NamedTuple):
    rows: Rows
    expires: float

    @property
    def size(self) -> int:
        return self.rows.nbytes + _BYTES_BESIDE


class Sessions:
    """Lives on the event loop. A session is its caller's: another's of that name is another."""

    def __init__(
        self,
        limits: SessionLimits,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._ended = telemetry.questions.sessions_ended
        # In the order of their last requests, and so in that in which they expire.
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        telemetry.questions.sessions.set_function(lambda: len(self._kept))

    def with_earlier(self, caller: str, session: Session, rows: Rows) -> Rows:
        """Rows `[n, row_length]` behind those of earlier requests, the limit or n in all at most.

        Nothing is changed by it, but where the session is to begin anew.
        """
        if session.anew:
            self._forget((caller, session.name), "restarted")
        self._expire()
        kept = self._kept.get((caller, session.name))
        room = self._limits.rows - len(rows)
        if kept is None or room <= 0:
            return rows
        return np.concatenate([kept.rows[-room:], rows])

    def add(self, caller: str, session: Session, rows: Rows) -> None:
        """The rows were looked at, so later requests of the session rest on them too."""
        key = caller, session.name
        if session.last:
            self._forget(key, "ended")
            return
        every = self.with_earlier(caller, Session(session.name), rows)[-self._limits.rows :]
        if (known := self._kept.pop(key, None)) is not None:
            self._bytes -= known.size
        # A copy, since what it is a part of would be kept whole.
        kept = _Kept(np.array(every), self._clock() + self._limits.seconds)
        self._kept[key] = kept
        self._bytes += kept.size
        while self._bytes > self._limits.all_bytes:
            self._forget(next(iter(self._kept)), "displaced")
        self._watch()

    def close(self) -> None:
        """Forget all of them."""
        if self._timer is not None:
            self._timer.cancel()
        self._kept.clear()
        self._bytes = 0

    def _forget(self, key: tuple[str, str], why: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size
            self._ended.labels(why).inc()

    def _expire(self) -> None:
        now = self._clock()
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if oldest.expires > now:
                return
            self._forget(key, "expired")

    def _watch(self) -> None:
        """Rows that nobody asks about any more go all the same when their time is over."""
        if self._timer is None and self._kept:
            oldest = next(iter(self._kept.values()))
            wait = max(0.0, oldest.expires - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._expire()
        self._watch()
