"""What happened to one request in the engine, and when. Knows no tracing library."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the way; times are `time.perf_counter_ns`."""

    name: str
    started_ns: int
    ended_ns: int
    details: Mapping[str, int]


class Timeline:
    """The steps of one request, in the order in which they ended; any thread may add to it."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, name: str, started_ns: int, ended_ns: int, **details: int) -> None:
        """Take down what has just ended."""
        self.steps.append(Step(name, started_ns, ended_ns, details))


current_timeline: ContextVar[Timeline | None] = ContextVar("current_timeline", default=None)
"""Of the request that the running asyncio task serves; None where it is not traced."""
