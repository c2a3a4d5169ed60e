"""`auto`: what tasks know of their inputs, and the entropy of those that this leaves open."""

from collections.abc import Sequence

import torch

from masked_network.task_evidence import strangeness
from masked_network.task_posterior import (
    WEIGHTS,
    likelihood_without_evidence,
    scores,
    within_reach,
)
from model_store.network import FrozenNetwork
from service.engine.inference.by_entropy import ShortList
from service.engine.inference.by_gradient import Gradients
from service.engine.inference.evidence_index import EvidenceIndex
from service.engine.inference.identification import Identification
from service.engine.inference.kept_lists import Tasks
from service.engine.inference.known_tasks import KnownTasks, Likely
from service.engine.inference.own_answers import OwnAnswers
from service.engine.inference.strategy import Asked, candidates_of
from service.engine.registry.task_table import RegisteredTask


class ByEvidence:
    """Calibrated by `task_posterior`; without any evidence it is the short list."""

    def __init__(
        self,
        network: FrozenNetwork,
        index: EvidenceIndex,
        gradients: Gradients,
        answers: OwnAnswers,
        shortlist: int,
    ) -> None:
        self._network = network
        self._index = index
        self._gradients = gradients
        self._answers = answers
        self._shortlist = shortlist
        self._short_list = ShortList(gradients, answers, shortlist)

    def __call__(self, tasks: Tasks, asked: Asked) -> Identification:
        known = self._index.of(tasks)
        if not known.tasks:
            return self._short_list(tasks, asked)
        likely = self._index.likeliest(known, self._network.projected(asked.inputs))
        return self._of_likely(likely, self.bare(known, asked), asked)

    def bare(self, known: KnownTasks, asked: Asked) -> Sequence[RegisteredTask]:
        """Those that bring no evidence and take part all the same."""
        without = known.without
        if len(without) <= self._shortlist:
            return without
        return self._gradients.best(without, asked.inputs, self._shortlist)

    def _of_likely(
        self, likely: Likely, without: Sequence[RegisteredTask], asked: Asked
    ) -> Identification:
        rows = len(asked.rows)
        reached = int(within_reach(likely.likelihoods, rows).sum())
        # The runner-up takes part, however far it is behind, for the margin.
        wanted = min(max(2, reached, asked.top or 0), self._shortlist, len(likely.tasks))
        found = likely.likelihoods.topk(wanted)
        best, likelihoods = found.indices.tolist(), found.values.tolist()
        listed = [likely.tasks[index] for index in best]
        if without:
            neutral = likelihood_without_evidence(
                float(likely.own.likelihood_mean[best[0]]),
                float(likely.own.likelihood_deviation[best[0]]),
                rows,
            )
            likelihoods += [neutral] * len(without)
        candidates = candidates_of([*listed, *without], asked, self._answers)
        entropies = [candidate.relative_entropy for candidate in candidates]
        score = scores(torch.tensor(likelihoods), torch.tensor(entropies), rows)
        # Of so few numbers each operation of torch takes longer than all of this.
        values, probabilities = score.tolist(), score.softmax(dim=0).tolist()
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
        first = order[0]
        if len(order) > 1:
            margin = values[first] - values[order[1]]
        else:  # against the uniform answer
            margin = WEIGHTS.of_entropy(rows) * (1 - entropies[first])
        strange = None
        if first < len(best):
            strange = _strangeness(likely, best[first], entropies[first], rows)
        return Identification(
            "auto",
            tuple(candidates[index] for index in order),
            margin,
            tuple(probabilities[index] for index in order),
            strange,
        )


def _strangeness(likely: Likely, index: int, entropy: float, rows: int) -> float:
    own, likelihood = likely.own.of(torch.tensor([index])), likely.likelihoods[index].view(1)
    return float(strangeness(own, likelihood, torch.tensor([entropy]), rows))
