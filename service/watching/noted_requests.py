"""Which requests are worth more than a count: an exemplar, or a line in the log. Never a payload.

Most are worth neither, and cost two comparisons and two look-ups.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf
from time import perf_counter
from typing import Any

from service.watching.exemplars import exemplar
from service.watching.second_buckets import SECONDS

_LINES_A_SECOND = 20
"""More are counted and said in the next second's first: a flood of refusals is one already."""

_log = logging.getLogger(__name__)

About = Callable[[], Mapping[str, Any]]
"""What identifies a request, where it is known: `request_id`, `trace_id`, `task` and `tenant`; else
more."""


class NotedRequests:
    """Told of each request when it has ended; lives on the event loop."""

    def __init__(
        self, slow_seconds: float | None, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._slow_seconds = inf if slow_seconds is None else slow_seconds
        self._clock = clock
        self._due: dict[str, list[float]] = {}
        self._second, self._lines, self._left_out = -1, 0, 0

    def ended(
        self, route: str, method: str, code: int, seconds: float, about: About
    ) -> dict[str, str] | None:
        """The exemplar for the request's duration, at most one a second, route and bucket.

        Writes to the log what failed here or was slow. `about` is asked only where it is used.
        """
        if code >= 500 or seconds >= self._slow_seconds:
            self._tell(route, method, code, seconds, about)
        due = self._due.get(route)
        if due is None:
            due = self._due[route] = [-inf] * (len(SECONDS) + 1)
        bucket = bisect_left(SECONDS, seconds)
        now = self._clock()
        if now < due[bucket]:
            return None
        due[bucket] = now + 1
        return exemplar(**_identity(about))

    def _tell(self, route: str, method: str, code: int, seconds: float, about: About) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > _LINES_A_SECOND:
            self._left_out += 1
            return
        said = {
            **_identity(about),
            "tenant": about().get("tenant"),
            "method": method,
            # The template, never the path: that is a stranger's text.
            "route": route,
            "status": code,
            "duration_ms": round(1000 * seconds, 3),
            "left_out": self._left_out or None,
        }
        self._left_out = 0
        level = logging.ERROR if code == 500 else logging.WARNING
        event = "request failed" if code >= 500 else "request was slow"
        told = {name: value for name, value in said.items() if value is not None}
        _log.log(level, event, extra=told)


def _identity(about: About) -> dict[str, str | None]:
    known = about()
    return {name: known.get(name) for name in ("trace_id", "request_id", "task")}
