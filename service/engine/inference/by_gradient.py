"""Searches by the gradient of a superposition of all tasks: `one-shot`, its G, and `binary`.

SupSup 2006.14769, section 3.3. Cheap whatever there are of tasks, and right where these are masks.
"""

from typing import NamedTuple

from torch import Tensor

from masked_network.task_inference import (
    Candidates,
    Objective,
    binary_choice,
    class_entropy,
    one_shot_scores,
    superfluous_logsumexp,
)
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.inference.identification import Identification, Method
from service.engine.inference.kept_lists import KeptLists, Tasks
from service.engine.inference.own_answers import OwnAnswers
from service.engine.inference.strategy import Asked, by_entropy_alone, candidates_of
from service.engine.registry.task_table import RegisteredTask
from service.errors import InvalidInput


class Stacked(NamedTuple):
    """Tasks in the order of their kinds, all of them as candidates, and the most classes of one."""

    tasks: list[RegisteredTask]
    candidates: Candidates
    most_classes: int


class Gradients:
    """Of lists of tasks, whose coefficients are stacked once and kept within `lists_bytes`."""

    def __init__(self, network: FrozenNetwork, answers: OwnAnswers, lists_bytes: int) -> None:
        self._network = network
        self._backbone = answers.backbone
        self._lists = KeptLists(lists_bytes, self._stack, lambda stack: stack.candidates.nbytes)

    def stacked(self, tasks: Tasks) -> Stacked:
        """Whatever is known of these tasks together."""
        return self._lists.of(tasks)

    def best(
        self, tasks: Tasks, inputs: Tensor, count: int, objective: Objective = class_entropy
    ) -> list[RegisteredTask]:
        """Those whose belief makes the objective of the superposition fall most, best first."""
        stack, network = self._lists.of(tasks), self._network
        found = one_shot_scores(
            self._backbone,
            network.weights,
            network.bank,
            stack.candidates,
            inputs,
            stack.most_classes,
            objective,
        )
        return [stack.tasks[index] for index in found.topk(min(count, len(tasks))).indices.tolist()]

    def left_by_halves(self, tasks: Tasks, inputs: Tensor) -> RegisteredTask:
        """Which one is left where each round keeps the better half."""
        stack, network = self._lists.of(tasks), self._network
        parts = (self._backbone, network.weights, network.bank, stack.candidates, inputs)
        return stack.tasks[binary_choice(*parts, stack.most_classes)]

    def superfluous_outputs(self, tasks: Tasks) -> int:
        """How many outputs are no class of any of the tasks."""
        return self._network.manifest.backbone.outputs - self._lists.of(tasks).most_classes

    def _stack(self, tasks: Tasks) -> Stacked:
        ordered = sorted(tasks, key=lambda task: KINDS.index(task.kind))
        most_classes = max(len(task.classes) for task in tasks)
        return Stacked(ordered, self._network.candidates(ordered), most_classes)


class OneShot:
    """One forward and backward for any number of tasks; ranks by H, the entropy of the answers."""

    def __init__(self, gradients: Gradients, answers: OwnAnswers, shortlist: int) -> None:
        self._gradients = gradients
        self._answers = answers
        self._shortlist = shortlist

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        return self._ranked("one-shot", tasks, asked, class_entropy)

    def _ranked(
        self, method: Method, tasks: Tasks, asked: Asked, objective: Objective
    ) -> Identification:
        listed = self._gradients.best(tasks, asked.inputs, self._shortlist, objective)
        return by_entropy_alone(method, candidates_of(listed, asked, self._answers))


class OneShotByG(OneShot):
    """The same by G: how small the outputs are that are no label of any task."""

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        if self._gradients.superfluous_outputs(tasks) < 1:
            raise InvalidInput(
                "method: one-shot-g goes by outputs beyond the classes of all tasks, and one of "
                "these tasks uses every output"
            )
        return self._ranked("one-shot-g", tasks, asked, superfluous_logsumexp)


class Binary:
    """One-shot anew over the better half, until one is left, which is named first."""

    def __init__(self, gradients: Gradients, answers: OwnAnswers, shortlist: int) -> None:
        self._gradients = gradients
        self._answers = answers
        self._shortlist = shortlist

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        left = self._gradients.left_by_halves(tasks, asked.inputs)
        best = self._gradients.best(tasks, asked.inputs, self._shortlist)
        listed = [left, *(task for task in best if task is not left)][: self._shortlist]
        return by_entropy_alone("binary", candidates_of(listed, asked, self._answers))
