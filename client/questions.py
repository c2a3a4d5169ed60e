"""What may be said of how a task is to be inferred. The service judges the values."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """How to find the task of rows that come without one."""

    method: str | None = None
    """`auto` unless said."""
    top: int | None = None
    """How many of the most probable tasks to be told of."""

    @property
    def params(self) -> Mapping[str, str]:
        """As an address says it."""
        said = {"method": self.method, "top": self.top}
        return {name: str(value) for name, value in said.items() if value is not None}


PLAIN_QUESTION = Question()
"""Whatever is usual."""
