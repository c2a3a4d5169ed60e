"""Names the task of each row by itself: one look at the evidence of all tasks for all rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from masked_network.task_evidence import strangeness
from masked_network.task_inference import entropies_of_tasks
from masked_network.task_posterior import (
    WEIGHTS,
    likelihood_without_evidence,
    scores,
    within_reach,
)
from service.engine.inference.identification import Candidate, Identification
from service.engine.inference.known_tasks import LikelyOfEach
from service.engine.inference.own_answers import OwnAnswers
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask

_KEPT = 5
"""Candidates of a row, unless more are asked for."""


def identify_each_by_evidence(
    likely: LikelyOfEach,
    without: Sequence[RegisteredTask],
    rows: Rows,
    answers: OwnAnswers,
    shortlist: int,
    top: int | None = None,
) -> tuple[Identification, ...]:
    """For each of `rows` `[n, row_length]` what *auto* finds out of that row alone.

    `without` are tasks that bring no evidence: their entropies are taken of every row.
    """
    choices, likelihoods = _left_open(likely, shortlist, top or 0)  # [n, S], -1 where none is
    tasks = [*likely.tasks, *without]
    moments, best = likely.own, choices[:, 0]
    neutral = likelihood_without_evidence(
        moments.likelihood_mean[best], moments.likelihood_deviation[best], rows=1
    )
    bare = torch.arange(len(likely.tasks), len(tasks)).expand(len(rows), -1)  # [n, W]
    places = torch.cat([choices, bare], dim=1)  # [n, S + W]
    own = torch.cat([likelihoods, neutral.unsqueeze(1).expand(bare.shape)], dim=1)
    taken = _taken(tasks, places, rows, answers)
    score = scores(own, taken.relative, rows=1).masked_fill(places < 0, -torch.inf)
    ranked = score.sort(dim=1, descending=True, stable=True)
    order = ranked.indices
    places, own = places.gather(1, order), own.gather(1, order)
    entropies, at = taken.nats.gather(1, order), taken.at.gather(1, order)
    doubt = taken.relative.gather(1, order)[:, 0]
    if places.shape[1] > 1:
        margins = ranked.values[:, 0] - ranked.values[:, 1]
    else:  # against the uniform answer
        margins = WEIGHTS.of_entropy(1) * (1 - doubt)
    known = places[:, 0] < len(likely.tasks)
    first = moments.of(places[:, 0].where(known, 0))
    strange = strangeness(first, own[:, 0], doubt, rows=1)
    probabilities, kept = score.softmax(dim=1).gather(1, order), max(top or 0, _KEPT)
    found = []
    for row in range(len(rows)):
        shown = int((places[row, :kept] >= 0).sum())
        candidates = tuple(
            Candidate(tasks[place], nats, taken.logits[index : index + 1])
            for place, nats, index in zip(
                places[row, :shown].tolist(),
                entropies[row, :shown].tolist(),
                at[row, :shown].tolist(),
                strict=True,
            )
        )
        found.append(
            Identification(
                "auto",
                candidates,
                float(margins[row]),
                tuple(probabilities[row, :shown].tolist()),
                float(strange[row]) if known[row] else None,
            )
        )
    return tuple(found)


def _left_open(likely: LikelyOfEach, shortlist: int, top: int) -> tuple[Tensor, Tensor]:
    """Which tasks may still be the most probable one of each row, best first."""
    ordered = likely.likelihoods.sort(dim=1, descending=True)
    reached = within_reach(likely.likelihoods, rows=1).sum(dim=1)
    # The runner-up takes part, however far it is behind, for the margin.
    wanted = reached.clamp(min=max(2, top), max=shortlist)
    width = min(int(wanted.max()), likely.likelihoods.shape[1])
    choices = likely.choices.gather(1, ordered.indices)[:, :width]
    beyond = torch.arange(width) >= wanted.unsqueeze(1)
    return choices.masked_fill(beyond, -1), ordered.values[:, :width]


class _Taken(NamedTuple):
    """Entropies of tasks' answers to rows, `[n, M]` as the places of the tasks asked for them.

    `at` says which of the `logits` `[pairs, outputs]` they are of.
    """

    nats: Tensor
    relative: Tensor
    at: Tensor
    logits: Rows


def _taken(
    tasks: Sequence[RegisteredTask], places: Tensor, rows: Rows, answers: OwnAnswers
) -> _Taken:
    of_row, column = (places >= 0).nonzero(as_tuple=True)
    order = places[of_row, column].argsort(stable=True)
    where = (of_row[order], column[order])
    # torch leaves it unannotated
    asked, counts = places[where].unique_consecutive(  # type: ignore[no-untyped-call]
        return_counts=True
    )
    some = [tasks[place] for place in asked.tolist()]
    given = torch.split(where[0], counts.tolist())
    logits = np.concatenate(answers(some, [rows[indices.numpy()] for indices in given]))
    classes = torch.tensor([len(task.classes) for task in some]).repeat_interleave(counts)
    nats = entropies_of_tasks(torch.from_numpy(logits), classes)
    # A task of one class is certain whatever it sees: it counts as knowing nothing.
    relative = torch.where(classes > 1, nats / classes.clamp(min=2).log(), 1.0)
    empty = torch.zeros(places.shape)
    taken = _Taken(empty, empty.clone(), torch.zeros_like(places), logits)
    taken.nats[where], taken.relative[where] = nats, relative
    taken.at[where] = torch.arange(len(nats))
    return taken
