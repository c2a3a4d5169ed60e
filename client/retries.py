"""When to ask again, and after how long. Decides by numbers alone: it neither waits nor sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is within the time that its caller gives it."""

    attempts: int = 4
    """In all; 1 never asks again."""
    first_wait_seconds: float = 0.1
    """Doubled after each attempt."""
    longest_wait_seconds: float = 10
    """Where the service asks for a longer wait than this, its refusal goes to the caller."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: expected 1 or more, got {self.attempts}")
        if not 0 <= self.first_wait_seconds <= self.longest_wait_seconds:
            raise ValueError(
                "expected 0 <= first_wait_seconds <= longest_wait_seconds, got "
                f"{self.first_wait_seconds} and {self.longest_wait_seconds}"
            )

    def wait_seconds(
        self, failed: int, asked_seconds: float | None, left_seconds: float | None, draw: float
    ) -> float | None:
        """How long to wait after so many failed attempts; None where to give up.

        Never less than the service asked for, and never so long that no time is left. `draw` in
        [0, 1) spreads callers who were refused together.
        """
        if failed >= self.attempts:
            return None
        if asked_seconds is not None and asked_seconds > self.longest_wait_seconds:
            return None
        doubled: float = self.first_wait_seconds * 2 ** (failed - 1)
        own = min(doubled, self.longest_wait_seconds) * (0.5 + draw / 2)
        wait = own + (asked_seconds or 0)
        return None if left_seconds is not None and wait >= left_seconds else wait


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """What `Retry-After` asks for, in seconds or as a date; None where it asks for nothing."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:12])
    try:
        date = parsedate_to_datetime(said)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
