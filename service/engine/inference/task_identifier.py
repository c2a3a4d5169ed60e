"""Names the task of rows that came without one, by the method asked for, or says that it cannot."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from model_store.network import FrozenNetwork
from service.engine.inference.by_adapting import Adapt
from service.engine.inference.by_entropy import Exhaustive, ShortList
from service.engine.inference.by_evidence import ByEvidence
from service.engine.inference.by_gradient import Binary, Gradients, OneShot, OneShotByG
from service.engine.inference.each_row import identify_each_by_evidence
from service.engine.inference.evidence_index import LISTS_BYTES, EvidenceIndex
from service.engine.inference.identification import METHODS, Identification, Method
from service.engine.inference.kept_lists import Tasks
from service.engine.inference.own_answers import OwnAnswers
from service.engine.inference.strategy import Asked, Strategy
from service.engine.registry.entries import Rows
from service.errors import InvalidInput

_MOST_ROWS_EACH = 64
"""That are asked about one after the other in one request."""


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """What one search may cost, and what is kept from one to the next."""

    shortlist: int = 32
    """Tasks whose own answers are taken, but by *exhaustive*."""
    exhaustive_rows: int = 65_536
    """Answers that *exhaustive* takes: rows times tasks."""
    lists_bytes: int = LISTS_BYTES
    methods: Collection[Method] = METHODS
    """That may be asked for."""


class TaskIdentifier:
    """Blocks while it computes, so it runs on a thread of its own; one call at a time."""

    def __init__(self, network: FrozenNetwork, limits: SearchLimits) -> None:
        self._network = network
        self._shortlist = shortlist = limits.shortlist
        self._answers = answers = OwnAnswers(network)
        # Not under the batches' own threads: those compute, these wait for memory.
        threads = ThreadPoolExecutor(torch.get_num_threads(), "scan")
        self._index = EvidenceIndex(
            len(network.directions), network.directions.shape[1], threads, limits.lists_bytes
        )
        gradients = Gradients(network, answers, limits.lists_bytes)
        self._auto = ByEvidence(network, self._index, gradients, answers, shortlist)
        strategies: dict[Method, Strategy] = {
            "auto": self._auto,
            "one-shot": OneShot(gradients, answers, shortlist),
            "one-shot-g": OneShotByG(gradients, answers, shortlist),
            "binary": Binary(gradients, answers, shortlist),
            "short-list": ShortList(gradients, answers, shortlist),
            "exhaustive": Exhaustive(answers, limits.exhaustive_rows),
            "adapt": Adapt(network, answers, self._auto),
        }
        self._strategies = {name: strategies[name] for name in limits.methods}

    def identify(
        self, tasks: Tasks, intensities: Rows, method: Method, top: int | None = None
    ) -> Identification:
        """Which of `tasks` (at least one) all rows `[n, row_length]` belong to.

        At least `top` tasks are candidates, where there are so many and the short list has room.
        Raises `InvalidInput` where the method is not to be had, or would cost too much.
        """
        return self._strategy(method)(tasks, self._asked(intensities, top))

    def identify_each(
        self, tasks: Tasks, intensities: Rows, method: Method, top: int | None = None
    ) -> tuple[Identification, ...]:
        """As `identify`, of each row by itself.

        *auto* looks at the evidence once for all rows, and at their candidates together; where more
        tasks than the short list bring none, those that fit all rows best take part. Any other
        method, and *auto* without evidence, takes as long as the rows one after the other, so that
        it takes only few, and *adapt* none: it would make a network for each.
        """
        strategy, each = self._strategy(method), range(len(intensities))
        if method == "auto":
            known = self._index.of(tasks)
            if known.tasks:
                asked = self._asked(intensities, top)
                projected = self._network.projected(asked.inputs)
                return identify_each_by_evidence(
                    self._index.likeliest_of_each(known, projected),
                    self._auto.bare(known, asked),
                    intensities,
                    self._answers,
                    self._shortlist,
                    top,
                )
        elif method == "adapt" or len(intensities) > _MOST_ROWS_EACH:
            raise InvalidInput(
                f"per_row: expected auto, or up to {_MOST_ROWS_EACH} rows by another method but "
                f"adapt; got {len(intensities)} by {method}"
            )
        return tuple(strategy(tasks, self._asked(intensities[n : n + 1], top)) for n in each)

    def _strategy(self, method: Method) -> Strategy:
        found = self._strategies.get(method)
        if found is None:
            raise InvalidInput(
                f"method: this service searches by {', '.join(self._strategies)}, not by {method}"
            )
        return found

    def _asked(self, intensities: Rows, top: int | None) -> Asked:
        inputs = self._network.manifest.preprocessing.rows_to_inputs(intensities)
        return Asked(intensities, inputs.to(self._network.device), top)
