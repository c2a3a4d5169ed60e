"""One who waits: resolved once, by whichever comes first of answer, deadline and leaving."""

import asyncio
from dataclasses import dataclass
from typing import Generic

from service.engine.entries import Answer, Entry, Payload, Rows
from service.engine.fair_queue import Place
from service.errors import DeadlinePassed


@dataclass(eq=False, slots=True)
class Waiting(Generic[Payload]):
    """Rows that fit in a batch, the future that their caller awaits, and the timer that ends it."""

    entry: Entry[Payload]
    deadline: float
    since: float
    answer: "asyncio.Future[Rows]"
    place: "Place[Waiting[Payload]] | None" = None
    timer: asyncio.TimerHandle | None = None

    def expire(self) -> None:
        """Tell the caller that its time is over."""
        self.resolve(DeadlinePassed("the request's time was over before its answer was there"))

    def resolve(self, answer: Answer) -> None:
        """Give the caller its answer, where it has none yet and did not leave."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)
