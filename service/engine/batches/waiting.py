"""One who waits: told once, by whichever comes first of answer, deadline and leaving."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias

from service.engine.batches.fair_queue import Place
from service.engine.registry.entries import Entry, Payload, Rows
from service.errors import DeadlinePassed

_log = logging.getLogger(__name__)

Outcome: TypeAlias = Rows | BaseException
"""Logits `[n, outputs]`, or what was wrong."""


class Waiter(Protocol):
    """Whom to tell, on the event loop."""

    def done(self) -> bool:
        """Whether it was told, or is there no more."""

    def tell(self, outcome: Outcome) -> None:
        """Called once, unless it is done before."""


class AwaitingWaiter:
    """A task that awaits `answer`; it is there no more where that was cancelled."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self.done = self.answer.done

    def tell(self, outcome: Outcome) -> None:
        if isinstance(outcome, asyncio.CancelledError):
            self.answer.cancel()
        elif isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


@dataclass(eq=False, slots=True)
class Waiting(Generic[Payload]):
    """Rows that fit in a batch, whom to tell of their answer, and the timer that ends the wait."""

    entry: Entry[Payload]
    deadline: float
    since: float
    waiter: Waiter
    place: "Place[Waiting[Payload]] | None" = None
    timer: asyncio.TimerHandle | None = None

    def expire(self) -> None:
        """Tell the caller that its time is over."""
        self.resolve(DeadlinePassed("the request's time was over before its answer was there"))

    def resolve(self, outcome: Outcome) -> None:
        """Tell the caller, where it was not told yet and did not leave."""
        if self.timer is not None:
            self.timer.cancel()
        if self.waiter.done():
            return
        try:
            self.waiter.tell(outcome)
        except Exception:  # the batch boundary: who fails to listen is no trouble to neighbours
            _log.exception("an answer reached nobody")
