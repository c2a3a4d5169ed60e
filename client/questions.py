"""What may be said of how a task is to be inferred. The service judges the values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """How to find the task of rows that come without one."""

    method: str | None = None
    """`auto` unless said."""
    top: int | None = None
    """How many of the most probable tasks to be told of."""
    tags: Sequence[str] = ()
    """All of which a task has that may be the answer."""
    prefix: str | None = None
    """How its name begins."""
    session: str | None = None
    """A stream of rows of one task: those of earlier calls of the same session count as well."""
    session_start: bool = False
    """What it has gathered is forgotten first."""
    session_end: bool = False
    """It is forgotten afterwards."""

    @property
    def params(self) -> Mapping[str, str]:
        """As an address says it."""
        tags = ",".join(self.tags) or None
        said = {
            "method": self.method,
            "top": self.top,
            "tags": tags,
            "prefix": self.prefix,
            "session": self.session,
            "session_start": "true" if self.session_start else None,
            "session_end": "true" if self.session_end else None,
        }
        return {name: str(value) for name, value in said.items() if value is not None}

    @property
    def parameters(self) -> Mapping[str, str | bool]:
        """As the Open Inference Protocol says it, which has no words for `top`."""
        names = {"method": "method", "tags": "tags", "prefix": "prefix", "session": "sequence_id"}
        said = self.params
        found: dict[str, str | bool] = {
            other: said[name] for name, other in names.items() if name in said
        }
        ends = {"sequence_start": self.session_start, "sequence_end": self.session_end}
        return found | {name: True for name, value in ends.items() if value}


PLAIN_QUESTION = Question()
"""Whatever is usual."""
