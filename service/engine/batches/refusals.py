"""Why rows that were asked for got no answer, as metrics name it."""

import asyncio

from service.errors import DeadlinePassed, Saturated, ShuttingDown, WouldBeLate

REASONS: dict[type[BaseException], str] = {
    Saturated: "saturated",
    WouldBeLate: "late",
    DeadlinePassed: "expired",
    ShuttingDown: "closed",
    asyncio.CancelledError: "left",
}
NOT_ANSWERED = tuple(REASONS)
