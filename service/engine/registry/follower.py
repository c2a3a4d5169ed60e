"""Keeps the registry in step with the store: looks at intervals, and at once where it is nudged.

Believes nothing that a nudge says: what is lost, sent twice or forged costs a look, or an interval.
"""

import asyncio
import logging
from time import monotonic, perf_counter

from service.engine.registry.registry import TaskRegistry
from service.errors import StoreUnavailable
from service.watching.following_telemetry import FollowingTelemetry

_LEAST_SECONDS = 0.01
"""Between two looks, however many nudges come."""

_log = logging.getLogger(__name__)


class Follower:
    """Lives on the event loop, on which no disk is read."""

    def __init__(
        self,
        registry: TaskRegistry,
        interval_seconds: float,
        stale_seconds: float,
        telemetry: FollowingTelemetry,
    ) -> None:
        self._registry = registry
        self._interval_seconds = interval_seconds
        self._stale_seconds = stale_seconds
        self._telemetry = telemetry
        self._nudged = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._closing = False
        self._in_step = False
        self._in_step_at = monotonic()
        self._problem = ""
        telemetry.registry_lag.set_function(lambda: self.lag_seconds)

    @property
    def lag_seconds(self) -> float:
        """The registry may have missed what happened in the store since then, and no more."""
        return monotonic() - self._in_step_at

    @property
    def explained(self) -> str:
        """How far the registry is in step, in words."""
        if not self._in_step:
            return f"not yet in step with the store{self._because}"
        if self._problem:
            return f"not in step with the store for {self.lag_seconds:.0f} s{self._because}"
        return "in step"

    @property
    def unready(self) -> str | None:
        """Why requests should go elsewhere; None where they are welcome.

        What was in step goes on for a while without its store: all replicas may have lost the same.
        """
        late_seconds = self.lag_seconds - 2 * self._interval_seconds
        if self._in_step and late_seconds <= self._stale_seconds:
            return None
        if self._in_step and not self._problem:
            return f"the store has not answered for {self.lag_seconds:.0f} s"
        return f"the tasks are {self.explained}"

    def nudge(self) -> None:
        """Look soon."""
        self._nudged.set()

    async def start(self) -> None:
        """Look once, and from then on."""
        await self.look(thorough=True)
        self._following = asyncio.create_task(self._follow())
        self._following.add_done_callback(_tell_of_failure)

    async def close(self) -> None:
        """Let a look that is under way end, and look no more."""
        self._closing = True
        self._nudged.set()
        if self._following is not None:
            await asyncio.wait({self._following})

    async def look(self, thorough: bool) -> None:
        """Take over what the store holds now; where it cannot be read all stays as it is."""
        began, started = monotonic(), perf_counter()
        try:
            changed = await self._registry.catch_up(thorough)
        except StoreUnavailable as error:
            if str(error) != self._problem:
                _log.error("not in step with the store: %s", error)
            self._problem = str(error)
            return
        finally:
            reason = "interval" if thorough else "nudge"
            seconds = perf_counter() - started
            self._telemetry.reconcile_seconds.labels(reason).observe(seconds)
        if self._problem:
            _log.warning("in step with the store again")
        self._problem, self._in_step, self._in_step_at = "", True, began
        if changed:
            # One line however many there are: a trainer may publish thousands.
            _log.info("others changed the store", extra={"tasks": changed})
        self._telemetry.followed.inc(changed)
        self._telemetry.reconciled.set_to_current_time()

    async def _follow(self) -> None:
        due = monotonic() + self._interval_seconds
        while not self._closing:
            nudged = await self._nudged_before(due)
            if self._closing:
                return
            self._nudged.clear()
            await self.look(thorough=not nudged)
            if not nudged:
                due = monotonic() + self._interval_seconds
            await asyncio.sleep(_LEAST_SECONDS)

    async def _nudged_before(self, due: float) -> bool:
        left = due - monotonic()
        if left <= 0:
            return False
        try:
            await asyncio.wait_for(self._nudged.wait(), left)
        except TimeoutError:
            return False
        return True

    @property
    def _because(self) -> str:
        return f": {self._problem}" if self._problem else ""


def _tell_of_failure(following: asyncio.Task[None]) -> None:
    if not following.cancelled() and (error := following.exception()) is not None:
        _log.error("the store is followed no more", exc_info=error)
