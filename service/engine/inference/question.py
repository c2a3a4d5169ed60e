"""What is asked of task inference, beside the rows."""

from dataclasses import dataclass

from service.engine.inference.identification import Method
from service.engine.registry.selection import EVERY_TASK, Selection

LONGEST_SESSION_NAME = 128

MOST_TOP = 32
"""Of the most probable tasks, in one answer."""


@dataclass(frozen=True, slots=True)
class Session:
    """A stream of rows of one task, over several requests of one caller."""

    name: str
    anew: bool = False
    """Whether what was gathered under that name is forgotten first."""
    last: bool = False
    """Whether it is forgotten afterwards."""


@dataclass(frozen=True, slots=True)
class Question:
    """How to look for the task, and how much to say of what was found."""

    method: Method = "auto"
    top: int | None = None
    """So many of the most probable tasks, 1 to `MOST_TOP`; None: up to five of those that had to be
    looked at anyhow."""
    per_row: bool = False
    """Whether every row is a question of its own."""
    among: Selection = EVERY_TASK
    """Which of the tasks that the caller sees may be the answer."""
    session: Session | None = None
    """Whose earlier rows count as well."""


PLAIN_QUESTION = Question()
"""What is asked where nothing is said."""
