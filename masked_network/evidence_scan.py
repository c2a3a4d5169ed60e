"""A first look at the evidence of very many tasks: which of them are worth a second one.

For all tasks one product, a byte a number, of the natural parameters of their Gaussians over the
first few directions; rows add up before it, so that many cost what one does. This project's own.
"""

from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from masked_network.compiled import Kernels, compiled_kernels
from masked_network.input_gaussians import InputGaussians

FEW_DIRECTIONS, MORE_DIRECTIONS = 12, 24
"""Measured on 300 permuted tasks: of 12 directions 16 rows leave the right task among the best
0.3 % in every trial, 4 rows in 91 to 98 %; of 24 one row leaves it among the best 4 % in 97 %."""

_LARGEST_LEVEL = 127
_LARGEST_FEATURE = 16383
"""So that a sum of so many products, each with a level, stays within 32 bits."""

_BLOCK = 1 << 17
"""Tasks that one thread looks at in a millisecond or two: the way to another takes as long."""

_BLOCK_OF_EACH = 1 << 11
"""Tasks whose numbers, as floats, stay in a core's cache while all rows meet them."""

_MOST_SCORES = 1 << 24
"""Of rows and tasks at once: a bound on memory."""

_GROUP = 32
"""Tasks of which the best one stands for all, in a first search for the best."""


_IN_A_VECTOR = 16
"""Numbers that are read together; of a task to a whole number of times so many, or the last ones
would each cost as much."""


def scan_terms(directions: int) -> int:
    """How many numbers a task has here."""
    terms = directions + directions * (directions + 1) // 2
    return -(-terms // _IN_A_VECTOR) * _IN_A_VECTOR


@dataclass(frozen=True)
class ScanRows:
    """What is scanned of T tasks: `levels` int8 `[T, terms]`, `scales` and `biases` fp32 `[T]`."""

    directions: int
    levels: Tensor
    scales: Tensor
    biases: Tensor

    def __len__(self) -> int:
        return len(self.scales)

    def part(self, start: int, end: int) -> "ScanRows":
        """Those from `start` to before `end`, over the same memory."""
        return ScanRows(
            self.directions, self.levels[start:end], self.scales[start:end], self.biases[start:end]
        )


def scan_rows(gaussians: InputGaussians, directions: int = MORE_DIRECTIONS) -> ScanRows:
    """What is scanned of these tasks, in that many directions, or all that there are.

    A level is a 127th of a task's largest number.
    """
    few = gaussians.first(directions)
    whitening = few.whitening()
    precision = whitening.transpose(1, 2) @ whitening  # [T, d, d]
    linear = torch.einsum("tij,tj->ti", precision, few.means)
    above = torch.triu_indices(precision.shape[1], precision.shape[1])
    halves = torch.where(above[0] == above[1], 0.5, 1.0)
    numbers = _in_vectors(torch.cat([linear, -precision[:, above[0], above[1]] * halves], dim=1))
    scales = numbers.abs().amax(dim=1) / _LARGEST_LEVEL
    levels = (numbers / scales.unsqueeze(1)).round().to(torch.int8)
    biases = few.log_volumes() - (linear * few.means).sum(dim=1) / 2
    return ScanRows(few.means.shape[1], levels.contiguous(), scales, biases)


def scan(
    rows: ScanRows,
    projected: Tensor,
    threads: Executor | None = None,
    kernels: Kernels | None = None,
) -> Tensor:
    """About the mean log-likelihood of projections `[n, D]` under each task, fp32 `[T]`.

    With `kernels`, or else the compiled ones, parts go to the executor's `threads` if it is given.
    """
    kernels = kernels or compiled_kernels()
    features = _features(projected[:, : rows.directions])
    largest = features.abs().max().clamp_min(1e-6)
    if kernels is None:
        parts = [
            rows.levels[start : start + _BLOCK].to(torch.float32) @ features
            for start in range(0, len(rows), _BLOCK)
        ]
        return rows.biases + rows.scales * torch.cat(parts)
    rounded = (features / largest * _LARGEST_FEATURE).round().to(torch.int16)
    factor = float(largest) / _LARGEST_FEATURE
    scores = torch.empty(len(rows))

    def one(start: int) -> None:
        end = min(start + _BLOCK, len(rows))
        part = rows.part(start, end)
        kernels.library.impress_scan(
            *(part.levels.data_ptr(), part.scales.data_ptr(), part.biases.data_ptr()),
            *(rounded.data_ptr(), factor, *part.levels.shape, scores[start:end].data_ptr()),
        )

    starts = range(0, len(rows), _BLOCK)
    # The way to a thread takes longer than a part that is the only one.
    for _ in map(one, starts) if threads is None or len(starts) < 2 else threads.map(one, starts):
        pass
    return scores


def best_of(scores: Tensor, count: int) -> Tensor:
    """Which are the best so many of scores `[T]`, in no order; all, where there are no more."""
    if len(scores) <= _GROUP * count:
        return scores.topk(min(count, len(scores))).indices
    return _best(pad(scores, (0, -len(scores) % _GROUP), value=-torch.inf).unsqueeze(0), count)[0]


def best_of_each(rows: ScanRows, projected: Tensor, count: int) -> Tensor:
    """Which tasks each of the projections `[n, D]` is likeliest under, by that look: `[n, count]`.

    What is kept of the tasks is read once for very many of the projections. Raises `ValueError`
    where there are fewer tasks.
    """
    if len(rows) < count:
        raise ValueError(f"expected {count} tasks or more, got {len(rows)}")
    few = projected[:, : rows.directions]
    above = torch.triu_indices(rows.directions, rows.directions)
    features = _in_vectors(torch.cat([few, few[:, above[0]] * few[:, above[1]]], dim=1))
    at_once = max(1, _MOST_SCORES // len(rows))
    return torch.cat([_best(_scores(rows, some), count) for some in torch.split(features, at_once)])


def _scores(rows: ScanRows, features: Tensor) -> Tensor:
    """Of tasks to a whole number of groups, those beyond the last one at minus infinity."""
    scores = torch.full((len(features), -(-len(rows) // _GROUP) * _GROUP), -torch.inf)
    room = torch.empty(min(_BLOCK_OF_EACH, len(rows)), features.shape[1])
    for start in range(0, len(rows), _BLOCK_OF_EACH):
        part = rows.part(start, min(start + _BLOCK_OF_EACH, len(rows)))
        levels = room[: len(part)].copy_(part.levels)
        found = features @ levels.T  # [n, block]
        scores[:, start : start + len(part)] = found.mul_(part.scales).add_(part.biases)
    return scores


def _best(scores: Tensor, count: int) -> Tensor:
    """The best lie in the groups whose best are best, of which there are far fewer."""
    groups = scores.view(len(scores), -1, _GROUP)
    best = groups.amax(dim=2)
    chosen = best.topk(min(count, best.shape[1]), dim=1).indices  # [n, groups]
    tasks = (chosen.unsqueeze(2) * _GROUP + torch.arange(_GROUP)).flatten(start_dim=1)
    return tasks.gather(1, scores.gather(1, tasks).topk(count, dim=1).indices)


def _features(few: Tensor) -> Tensor:
    above = torch.triu_indices(few.shape[1], few.shape[1])
    products = few.T @ few / len(few)
    return _in_vectors(torch.cat([few.mean(dim=0), products[above[0], above[1]]]))


def _in_vectors(numbers: Tensor) -> Tensor:
    return pad(numbers, (0, -numbers.shape[-1] % _IN_A_VECTOR))
