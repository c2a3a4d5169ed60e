"""How much each key may ask for: token buckets of requests and of rows, in this process.

Nobody waits here for anything. What was taken is kept for who shares the buckets with replicas.
"""

import time
from collections.abc import Callable, Iterable

from service.access.key_file import KeyRecord
from service.errors import QuotaExceeded

_ROUNDING = 1e-9


class Bucket:
    """Fills at `rate` a second up to `most`. Whoever takes more than `most` leaves a debt."""

    __slots__ = ("_at", "_clock", "level", "most", "rate", "taken")

    def __init__(self, rate: float, burst_seconds: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.most = max(1.0, rate * burst_seconds)
        self.level = self.most
        self.taken = 0.0
        """Since it was last told to others."""
        self._clock = clock
        self._at = clock()

    def fill(self) -> None:
        """Let what time brought in."""
        now = self._clock()
        self.level = min(self.most, self.level + (now - self._at) * self.rate)
        self._at = now

    def take(self, count: float) -> float:
        """Take so many, or none and the seconds until they can be had."""
        self.fill()
        missing = min(count, self.most) - self.level
        if missing > _ROUNDING:
            return missing / self.rate
        self.level -= count
        self.taken += count
        return 0.0

    def give_back(self, count: float) -> None:
        """As if so many had not been taken."""
        self.level += count
        self.taken -= count


class KeyAllowance:
    """What one key may still ask for."""

    __slots__ = ("_refused", "requests", "rows")

    def __init__(
        self, requests: Bucket | None, rows: Bucket | None, refused: Callable[[], None]
    ) -> None:
        self.requests = requests
        self.rows = rows
        self._refused = refused

    def take_request(self) -> None:
        """Count a request. Raises `QuotaExceeded`."""
        if self.requests is not None:
            self._take("requests", self.requests, 1)

    def give_back_request(self) -> None:
        """A request that was counted comes again, another way."""
        if self.requests is not None:
            self.requests.give_back(1)

    def take_rows(self, rows: int) -> None:
        """Count rows. Raises `QuotaExceeded`."""
        if self.rows is not None:
            self._take("rows", self.rows, rows)

    def _take(self, what: str, bucket: Bucket, count: int) -> None:
        seconds = bucket.take(count)
        if seconds:
            self._refused()
            raise QuotaExceeded(
                f"this key may ask for {bucket.rate:g} {what} a second; {count} more can be had "
                f"in {seconds:.3f} s",
                retry_after_seconds=seconds,
            )


class Quotas:
    """Of every key by its name: a key whose secret or scopes change keeps what it has taken."""

    def __init__(
        self, refused: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._refused = refused
        self._clock = clock
        self._known: dict[str, tuple[tuple[object, ...], KeyAllowance]] = {}

    def allowances(self, records: Iterable[KeyRecord]) -> list[KeyAllowance]:
        """Of these keys, in their order; others are forgotten."""
        known, self._known = self._known, {}
        for record in records:
            limits = (record.requests_per_second, record.rows_per_second, record.burst_seconds)
            found = known.get(record.name)
            if found is None or found[0] != limits:
                requests, rows = (
                    None if rate is None else Bucket(rate, record.burst_seconds, self._clock)
                    for rate in limits[:2]
                )
                found = limits, KeyAllowance(requests, rows, self._refused)
            self._known[record.name] = found
        return [allowance for _, allowance in self._known.values()]

    def buckets(self) -> dict[str, Bucket]:
        """All, each under a name that replicas have in common."""
        return {
            f"{name}:{kind}": bucket
            for name, (_, allowance) in self._known.items()
            for kind, bucket in (("requests", allowance.requests), ("rows", allowance.rows))
            if bucket is not None
        }
