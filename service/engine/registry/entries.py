"""What is asked of the engine and what comes back: rows under a key, for a caller, by a time."""

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Answer: TypeAlias = Rows | Exception
Payload = TypeVar("Payload")


class Allowance(Protocol):
    """How many rows a caller may still ask for."""

    def take_rows(self, rows: int) -> None:
        """Count rows that it asks for. Raises `QuotaExceeded`."""


class Terms(NamedTuple):
    """On whose behalf, and until when: the engine is fair between callers."""

    caller: str
    deadline: float = inf
    """On the clock of `time.monotonic`, in seconds; nobody waits beyond it."""
    tenant: str | None = None
    """Whose tasks it sees beside the shared ones."""
    allowance: Allowance | None = None

    def within(self, timeout_ms: float) -> "Terms":
        """The same, and at most so long from now."""
        deadline = min(self.deadline, time.monotonic() + timeout_ms / 1000)
        return Terms(self.caller, deadline, self.tenant, self.allowance)

    def charge(self, rows: int) -> None:
        """Count rows that are asked for. Raises `QuotaExceeded`."""
        if self.allowance is not None:
            self.allowance.take_rows(rows)


class Entry(NamedTuple, Generic[Payload]):
    """Rows `[n, row_length]` of one task; equal keys mean equal payloads."""

    key: str
    payload: Payload
    rows: Rows


Compute = Callable[[Sequence[Entry[Payload]]], Sequence[Answer]]
"""A batch's answers in the order of its entries: logits `[n, outputs]`, or what was wrong."""


def indices_by_key(entries: Sequence[Entry[Payload]]) -> dict[str, list[int]]:
    """Which of the entries are of each key, keys in the order in which they first occur."""
    found: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        found.setdefault(entry.key, []).append(index)
    return found
