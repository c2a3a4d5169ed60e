"""Searches by the entropy of what tasks' own networks answer: of a short list, or of every task.

Right where the networks learned to be unsure of what is not theirs.
"""

from collections.abc import Sequence
from operator import attrgetter

from service.engine.inference.by_gradient import Gradients
from service.engine.inference.identification import Identification, Method
from service.engine.inference.kept_lists import Tasks
from service.engine.inference.own_answers import OwnAnswers
from service.engine.inference.strategy import Asked, by_entropy_alone, candidates_of
from service.engine.registry.task_table import RegisteredTask
from service.errors import InvalidInput

_relative_entropy = attrgetter("relative_entropy")


class ShortList:
    """Ranks the best by gradient by their true entropy; all tasks, where they are no more."""

    def __init__(self, gradients: Gradients, answers: OwnAnswers, shortlist: int) -> None:
        self._gradients = gradients
        self._answers = answers
        self._shortlist = shortlist

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        listed: Sequence[RegisteredTask] = tasks
        if len(tasks) > self._shortlist:
            listed = self._gradients.best(tasks, asked.inputs, self._shortlist)
        return ranked("short-list", listed, asked, self._answers)


class Exhaustive:
    """Ranks every task so; what would be more than `most_rows` answers in all is refused."""

    def __init__(self, answers: OwnAnswers, most_rows: int) -> None:
        self._answers = answers
        self._most_rows = most_rows

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        wanted = len(tasks) * len(asked.rows)
        if wanted > self._most_rows:
            raise InvalidInput(
                f"method: exhaustive takes {self._most_rows} answers at most, and {len(asked.rows)}"
                f" rows of {len(tasks)} tasks are {wanted}: ask for fewer rows, or by auto"
            )
        return ranked("exhaustive", tasks, asked, self._answers)


def ranked(
    method: Method, tasks: Sequence[RegisteredTask], asked: Asked, answers: OwnAnswers
) -> Identification:
    """By the entropy of each one's own answers, as a share of the uniform answer's."""
    return by_entropy_alone(
        method, sorted(candidates_of(tasks, asked, answers), key=_relative_entropy)
    )
