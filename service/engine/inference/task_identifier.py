"""Names the task of rows that came without one, by entropy minimisation, or says that it cannot."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.task_evidence import strangeness
from masked_network.task_inference import (
    Candidates,
    binary_choice,
    entropy_nats,
    one_shot_scores,
)
from masked_network.task_posterior import (
    WEIGHTS,
    likelihood_without_evidence,
    scores,
    within_reach,
)
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.inference.each_row import identify_each_by_evidence
from service.engine.inference.evidence_index import (
    LISTS_BYTES,
    EvidenceIndex,
    KnownTasks,
    Likely,
)
from service.engine.inference.identification import (
    Candidate,
    Identification,
    Method,
    entropy_margin_nats,
)
from service.engine.inference.kept_lists import KeptLists
from service.engine.inference.own_answers import OwnAnswers
from service.engine.registry.task_table import RegisteredTask


class _Stacked(NamedTuple):
    """Tasks in the order of their kinds, all of them as candidates, and the most classes of one."""

    tasks: list[RegisteredTask]
    candidates: Candidates
    most_classes: int


class TaskIdentifier:
    """Blocks while it computes, so it runs on a thread of its own; one call at a time."""

    def __init__(
        self, network: FrozenNetwork, shortlist: int, lists_bytes: int = LISTS_BYTES
    ) -> None:
        self._network = network
        self._answers = OwnAnswers(network)
        self._backbone = self._answers.backbone
        self._shortlist = shortlist
        # Not under the batches' own threads: those compute, these wait for memory.
        threads = ThreadPoolExecutor(torch.get_num_threads(), "scan")
        self._index = EvidenceIndex(
            len(network.directions), network.directions.shape[1], threads, lists_bytes
        )
        self._stacked = KeptLists(lists_bytes, self._stack, lambda stack: stack.candidates.nbytes)

    def identify(
        self,
        tasks: tuple[RegisteredTask, ...],
        intensities: NDArray[np.float32],
        method: Method,
        top: int | None = None,
    ) -> Identification:
        """Which of `tasks` (at least one) all rows `[n, row_length]` belong to.

        *auto* takes what evidence tasks bring, and the entropy of those that the evidence does not
        rule out; without any evidence it is *short-list*. *one-shot* ranks by the gradient of the
        superposition's entropy by each task's belief (SupSup 2006.14769, section 3.3), one forward
        and backward for any number of tasks; *binary* does so anew over the better half, until one
        is left, and names that one first. *short-list* ranks the best by one-shot again, by the
        true entropy of each one's own network; *exhaustive* ranks all tasks so.

        At least `top` tasks are candidates, where there are so many and the short list has room.
        """
        inputs = self._inputs(intensities)
        if method == "auto":
            known = self._index.of(tasks)
            if len(known):
                return self._by_evidence(known, intensities, inputs, top)
        listed: Sequence[RegisteredTask] = tasks
        if method in ("one-shot", "binary") or (
            method != "exhaustive" and len(tasks) > self._shortlist
        ):
            listed = self._best_by_gradient(tasks, inputs)
        if method == "binary":
            left = self._left_by_halves(tasks, inputs)
            listed = [left, *(task for task in listed if task is not left)][: self._shortlist]
        candidates = self._candidates(listed, intensities)
        if method not in ("one-shot", "binary"):
            candidates.sort(key=lambda candidate: candidate.relative_entropy)
        entropies = torch.tensor([candidate.relative_entropy for candidate in candidates])
        score = -WEIGHTS.of_entropy(len(intensities)) * entropies
        probabilities = tuple(score.softmax(dim=0).tolist())
        return Identification(
            method, tuple(candidates), entropy_margin_nats(candidates), probabilities
        )

    def identify_each(
        self,
        tasks: tuple[RegisteredTask, ...],
        intensities: NDArray[np.float32],
        method: Method,
        top: int | None = None,
    ) -> tuple[Identification, ...]:
        """As `identify`, of each row by itself.

        *auto* looks at the evidence once for all rows, and at their candidates together; where more
        tasks than the short list bring none, those that fit all rows best take part. Any other
        method, and *auto* without evidence, takes as long as the rows one after the other.
        """
        if method == "auto":
            known = self._index.of(tasks)
            if len(known):
                inputs = self._inputs(intensities)
                likely = self._index.likeliest_of_each(known, self._network.projected(inputs))
                return identify_each_by_evidence(
                    likely,
                    self._bare(known.without, inputs),
                    intensities,
                    self._answers,
                    self._shortlist,
                    top,
                )
        each = range(len(intensities))
        return tuple(self.identify(tasks, intensities[n : n + 1], method, top) for n in each)

    def _inputs(self, intensities: NDArray[np.float32]) -> Tensor:
        inputs = self._network.manifest.preprocessing.to_inputs(torch.from_numpy(intensities))
        return inputs.to(self._network.device)

    def _bare(
        self, without: tuple[RegisteredTask, ...], inputs: Tensor
    ) -> Sequence[RegisteredTask]:
        """Those that bring no evidence and take part all the same."""
        return (
            without if len(without) <= self._shortlist else self._best_by_gradient(without, inputs)
        )

    def _by_evidence(
        self,
        known: KnownTasks,
        intensities: NDArray[np.float32],
        inputs: Tensor,
        top: int | None,
    ) -> Identification:
        rows = len(intensities)
        likely = self._index.likeliest(known, self._network.projected(inputs))
        reached = int(within_reach(likely.likelihoods, rows).sum())
        # The runner-up takes part, however far it is behind, for the margin.
        wanted = min(max(2, reached, top or 0), self._shortlist, len(likely.tasks))
        best = likely.likelihoods.topk(wanted).indices.tolist()
        listed = [likely.tasks[index] for index in best]
        likelihoods = likely.likelihoods[best].tolist()
        without = self._bare(known.without, inputs)
        neutral = likelihood_without_evidence(
            float(likely.evidence.likelihood_mean[best[0]]),
            float(likely.evidence.likelihood_deviation[best[0]]),
            rows,
        )
        candidates = self._candidates([*listed, *without], intensities)
        entropies = torch.tensor([candidate.relative_entropy for candidate in candidates])
        score = scores(torch.tensor(likelihoods + [neutral] * len(without)), entropies, rows)
        order = score.argsort(descending=True).tolist()
        first = order[0]
        if len(order) > 1:
            margin = float(score[first] - score[order[1]])
        else:  # against the uniform answer
            margin = WEIGHTS.of_entropy(rows) * (1 - float(entropies[first]))
        strange = None
        if first < len(best):
            strange = _strangeness(likely, best[first], float(entropies[first]), rows)
        return Identification(
            "auto",
            tuple(candidates[index] for index in order),
            margin,
            tuple(score.softmax(dim=0)[order].tolist()),
            strange,
        )

    def _left_by_halves(self, tasks: tuple[RegisteredTask, ...], inputs: Tensor) -> RegisteredTask:
        ordered, candidates, most_classes = self._stacked.of(tasks)
        network = self._network
        parts = (self._backbone, network.weights, network.bank, candidates, inputs, most_classes)
        return ordered[binary_choice(*parts)]

    def _best_by_gradient(
        self, tasks: tuple[RegisteredTask, ...], inputs: Tensor
    ) -> list[RegisteredTask]:
        ordered, candidates, most_classes = self._stacked.of(tasks)
        found = one_shot_scores(
            self._backbone,
            self._network.weights,
            self._network.bank,
            candidates,
            inputs,
            most_classes,
        )
        best = found.topk(min(self._shortlist, len(tasks))).indices.tolist()
        return [ordered[index] for index in best]

    def _stack(self, tasks: tuple[RegisteredTask, ...]) -> _Stacked:
        ordered = sorted(tasks, key=lambda task: KINDS.index(task.kind))
        most_classes = max(len(task.classes) for task in tasks)
        return _Stacked(ordered, self._network.candidates(ordered), most_classes)

    def _candidates(
        self, tasks: Sequence[RegisteredTask], intensities: NDArray[np.float32]
    ) -> list[Candidate]:
        logits = self._answers(tasks, [intensities] * len(tasks))
        return [_candidate(task, own) for task, own in zip(tasks, logits, strict=True)]


def _strangeness(likely: Likely, index: int, entropy: float, rows: int) -> float:
    entropies = torch.full_like(likely.likelihoods, entropy)
    return float(strangeness(likely.evidence, likely.likelihoods, entropies, rows)[index])


def _candidate(task: RegisteredTask, logits: NDArray[np.float32]) -> Candidate:
    entropy = entropy_nats(torch.from_numpy(logits[:, : len(task.classes)])).mean()
    return Candidate(task, float(entropy), logits)
