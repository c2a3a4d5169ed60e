"""`adapt`: answers with a network made for these rows, and names the task that it is nearest to.

Its entropy falls whether or not it is right: it says nothing of whether the rows are any task's.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.adaptation import AdaptationStart, adapted_coefficients
from masked_network.backbones import forward
from masked_network.composition import compose
from masked_network.task_statistics import pooled_statistics
from model_store.network import FrozenNetwork
from service.engine.inference.by_evidence import ByEvidence
from service.engine.inference.identification import Identification
from service.engine.inference.kept_lists import Tasks
from service.engine.inference.own_answers import OwnAnswers
from service.engine.inference.strategy import Asked, answered
from service.engine.registry.task_table import RegisteredTask
from service.errors import InvalidInput

MOST_ROWS = 64
"""That coefficients are adapted to; more are answered by what the first so many led to."""


def balance_of(rows: int, classes: int) -> float:
    """How much the mean answer is to be spread over the classes, beside the entropy's weight of 1.

    Without it, answers to inputs that changed run together into one class; but few rows need not be
    of all classes.
    """
    return rows / (rows + classes)


class Adapt:
    """Begins where *auto* ends: at its candidates' coefficients, weighed by how probable each is.

    Some steps down the entropy of the answers, while their mean stays spread over the classes
    (`masked_network.adaptation`). Then the nearest candidate is named, whose classes the answers
    are of, and which comes first. Margin and probabilities stay those of *auto*, since no others
    are calibrated; how strange the rows are is not asked, since a network is made for strangers.
    """

    def __init__(self, network: FrozenNetwork, answers: OwnAnswers, auto: ByEvidence) -> None:
        self._network = network
        self._backbone = answers.backbone
        self._auto = auto

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        found = self._auto(tasks, asked)
        able = [index for index, one in enumerate(found.candidates) if _can_begin(one.task)]
        if not able:
            raise InvalidInput(
                "method: adapt begins at tasks of coefficients and two or more classes, and none "
                "of those that are likeliest is one"
            )
        network = self._network
        stack = network.candidates([found.candidates[index].task for index in able])
        # Where others take all that is probable, these are as good as each other.
        shares = torch.tensor([found.probabilities[index] for index in able]).clamp_min(1e-30)
        belief = (shares / shares.sum()).to(network.device)
        start = AdaptationStart(
            torch.einsum("t,tlk->lk", belief, stack.coefficients),
            len(found.candidates[able[int(shares.argmax())]].task.classes),
            pooled_statistics(stack.statistics, belief),
        )
        some = asked.inputs[:MOST_ROWS]
        adapted = adapted_coefficients(
            self._backbone,
            network.weights,
            network.bank,
            start,
            some,
            balance=balance_of(len(some), start.classes),
        )
        distances = (stack.coefficients - adapted).square().sum(dim=(1, 2))
        nearest = able[int(distances.cpu().argmin())]
        task = found.candidates[nearest].task
        answer = answered(task, self._logits(adapted, start, asked.inputs))
        others = [index for index in range(len(found.candidates)) if index != nearest]
        return Identification(
            "adapt",
            (answer, *(found.candidates[index] for index in others)),
            found.margin_nats,
            tuple(found.probabilities[index] for index in (nearest, *others)),
        )

    @torch.no_grad()
    def _logits(
        self, coefficients: Tensor, start: AdaptationStart, inputs: Tensor
    ) -> NDArray[np.float32]:
        network = self._network
        composed = compose(network.weights, network.bank, coefficients)
        logits: NDArray[np.float32]
        logits = forward(self._backbone, {**composed, **start.statistics}, inputs).cpu().numpy()
        return logits


def _can_begin(task: RegisteredTask) -> bool:
    return task.kind == "coefficients" and len(task.classes) > 1
