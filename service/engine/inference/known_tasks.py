"""What the evidence index keeps of a list of tasks, and what it tells of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from masked_network.task_evidence import OwnMoments
from service.engine.registry.task_table import RegisteredTask


@dataclass(frozen=True)
class Likely:
    """Tasks, how their own rows are to them, and the mean log-likelihood of rows, `[T]`."""

    tasks: Sequence[RegisteredTask]
    own: OwnMoments
    likelihoods: Tensor


@dataclass(frozen=True)
class LikelyOfEach:
    """The same of each row by itself: which of the tasks are its likeliest, in no order, `[n, S]`.

    `likelihoods` `[n, S]` are the row's under its own `choices`.
    """

    tasks: Sequence[RegisteredTask]
    own: OwnMoments
    choices: Tensor
    likelihoods: Tensor


@dataclass(frozen=True, eq=False)
class KnownTasks:
    """Of a list of tasks those that bring evidence, by their rows of the index, and the others."""

    rows: Tensor
    """`[n]`, int64."""
    without: tuple[RegisteredTask, ...]
    tasks: tuple[RegisteredTask, ...]
    """Those that bring evidence."""
    evidence: Tensor | None
    """All of theirs, uint8 `[n, bytes]`, where they are so few that it is always looked at."""

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def nbytes(self) -> int:
        """What keeping it takes, besides the index."""
        of_lists = 8 * (len(self.tasks) + len(self.without)) + self.rows.nbytes
        return of_lists + (0 if self.evidence is None else self.evidence.nbytes)
