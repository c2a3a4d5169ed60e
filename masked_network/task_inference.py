"""Which task do these inputs belong to? One-shot and binary search (SupSup 2006.14769, section 3).

Ranks what it is given; holds no list of tasks and decides no threshold.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from masked_network.backbones import forward
from masked_network.channel_groups import joined_segments
from masked_network.composition import multipliers
from masked_network.mask_bank import MaskBank
from masked_network.task_statistics import pooled_statistics


def entropy_nats(logits: Tensor) -> Tensor:
    """Entropy of the softmax over the last dimension, in nats: `[..., B, C]` to `[..., B]`."""
    log_probabilities = logits.log_softmax(dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def entropies_of_tasks(logits: Tensor, classes: Tensor) -> Tensor:
    """Entropies `[T, ...]` of tasks' answers `[T, ..., outputs]`, each over its own classes.

    `classes` `[T]`, int64, says how many of the outputs these are.
    """
    counts = set(classes.tolist())
    if len(counts) == 1:
        return entropy_nats(logits[..., : counts.pop()])
    nats = logits.new_empty(logits.shape[:-1])
    for count in counts:
        alike = classes == count
        nats[alike] = entropy_nats(logits[alike][..., :count])
    return nats


def relative_entropy(entropy: float, classes: int) -> float:
    """Entropy as a share of that of the uniform answer, so that tasks of few classes compare.

    A task of one class is certain whatever it sees: it counts as knowing nothing (1.0).
    """
    return entropy / math.log(classes) if classes > 1 else 1.0


Objective = Callable[[Tensor, int], Tensor]
"""What the right task makes small: of logits `[B, s]` and how many of the s are real, `[B]`."""


def class_entropy(logits: Tensor, classes: int) -> Tensor:
    """H: the entropy over the first `classes` outputs; the paper's, where that is all of them."""
    return entropy_nats(logits[:, :classes])


def superfluous_logsumexp(logits: Tensor, classes: int) -> Tensor:
    """G: `logsumexp` over all s outputs, no gradient through the first `classes` of them.

    The others are never a label, so learning makes them small on a task's own inputs (SupSup
    2006.14769, section 3). Raises `ValueError` where there are no others.
    """
    if not classes < logits.shape[1]:
        raise ValueError(
            f"expected superfluous outputs beyond {classes} classes, got {logits.shape[1]} outputs"
        )
    return torch.cat([logits[:, :classes].detach(), logits[:, classes:]], dim=1).logsumexp(dim=1)


@dataclass(frozen=True)
class Candidates:
    """The tasks that take part: those with coefficients first, then those with a mask of their own.

    `coefficients` is `[T_c, L, K]`; each of `supermasks` maps a layer's name to a bool mask, for
    every layer, or for those whose coefficients are zero in a hybrid: the last `hybrids` tasks with
    coefficients are the first with a mask. `statistics` maps the name of each to all tasks' own,
    `[T, channels]`.
    """

    coefficients: Tensor
    supermasks: Sequence[Mapping[str, Tensor]] = ()
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    hybrids: int = 0

    def __len__(self) -> int:
        return self.first_masked + len(self.supermasks)

    @property
    def nbytes(self) -> int:
        """Of all tensors."""
        masks = [mask for masks in self.supermasks for mask in masks.values()]
        return sum(one.nbytes for one in (self.coefficients, *masks, *self.statistics.values()))

    @property
    def first_masked(self) -> int:
        """Which task is the first with a mask."""
        return len(self.coefficients) - self.hybrids

    def subset(self, indices: Sequence[int]) -> "Candidates":
        """Those of these indices, which ascend, so that the order of their kinds stays."""
        composed = [index for index in indices if index < len(self.coefficients)]
        masked = [index for index in indices if index >= self.first_masked]
        return Candidates(
            self.coefficients[composed],
            [self.supermasks[index - self.first_masked] for index in masked],
            {name: every[list(indices)] for name, every in self.statistics.items()},
            len(composed) + len(masked) - len(indices),
        )


def superpose(
    weights: Mapping[str, Tensor], bank: MaskBank, candidates: Candidates, belief: Tensor
) -> dict[str, Tensor]:
    """`W * sum_t p_t M_t` for a belief `[T]`: one composition, whatever T is.

    Its statistics, where there are any, are those of the tasks' mixture: `pooled_statistics` with
    the belief as shares, this project's own choice. Raises `ValueError` on a wrong shape.
    """
    if belief.shape != (len(candidates),):
        raise ValueError(f"expected a belief ({len(candidates)},), got {tuple(belief.shape)}")
    by_coefficients = belief[: len(candidates.coefficients)]
    averaged = torch.einsum("t,tlk->lk", by_coefficients, candidates.coefficients)
    by_mask = belief[candidates.first_masked :]
    superposed = {}
    factors = joined_segments(multipliers(bank, averaged), weights)
    for name, weight in weights.items():
        total = factors[name]
        for share, masks in zip(by_mask, candidates.supermasks, strict=True):
            if name in masks:
                total = total + share * masks[name]
        superposed[name] = weight * total
    return superposed | pooled_statistics(candidates.statistics, belief)


def one_shot_scores(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    candidates: Candidates,
    inputs: Tensor,
    classes: int,
    objective: Objective = class_entropy,
) -> Tensor:
    """`-dH/dp_t` `[T]` at the uniform belief, for inputs `[B, *input_shape]`: larger fits better.

    One forward and one backward for any T: composition is linear, so the gradient by a task's
    belief is the inner product of its coefficients with the gradient by the averaged ones (this
    project's own way to compute it). The superposition's statistics count as constants there. H, or
    another `objective`, takes the first `classes` outputs for real and is averaged over B. Raises
    `ValueError` where no task takes part.
    """
    total = len(candidates)
    if total == 0:
        raise ValueError("expected at least one candidate, got none")
    belief = weights[next(iter(weights))].new_full((total,), 1 / total)
    superposed = superpose(weights, bank, candidates, belief)
    leaves = {name: superposed[name].detach().requires_grad_() for name in weights}
    with torch.enable_grad():
        logits = forward(backbone, superposed | leaves, inputs)
        value = objective(logits, classes).mean()
        gradients = torch.autograd.grad(value, list(leaves.values()))
    by_multiplier = {
        name: weights[name] * gradient for name, gradient in zip(leaves, gradients, strict=True)
    }
    by_coefficients = _gradient_by_coefficients(bank, by_multiplier)  # [L, K]
    scores = torch.zeros_like(belief)
    own = torch.einsum("tlk,lk->t", candidates.coefficients, by_coefficients)
    scores[: len(own)] -= own
    for task, masks in enumerate(candidates.supermasks, candidates.first_masked):
        # By a product: picking by a mask takes five times as long.
        inner = [
            by_multiplier[name].flatten() @ mask.flatten().to(belief.dtype)
            for name, mask in masks.items()
        ]
        scores[task] -= torch.stack(inner).sum()
    return scores


def binary_choice(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    candidates: Candidates,
    inputs: Tensor,
    classes: int,
    objective: Objective = class_entropy,
) -> int:
    """The index of the task that is left when each round keeps the better half by one-shot.

    `ceil(log2 T)` rounds, each at the uniform belief over those that are left (SupSup 2006.14769,
    section 3); an odd number keeps the larger half. Raises `ValueError` as `one_shot_scores` does.
    """
    kept = list(range(len(candidates)))
    while True:
        left = candidates.subset(kept)
        scores = one_shot_scores(backbone, weights, bank, left, inputs, classes, objective)
        best = scores.topk(-(-len(kept) // 2)).indices.sort().values.tolist()
        kept = [kept[position] for position in best]
        if len(kept) == 1:
            return kept[0]


def _gradient_by_coefficients(bank: MaskBank, by_multiplier: Mapping[str, Tensor]) -> Tensor:
    like = next(iter(by_multiplier.values()))
    zeros = like.new_zeros(len(bank.codes), bank.size, requires_grad=True)
    with torch.enable_grad():
        factors = joined_segments(multipliers(bank, zeros), by_multiplier)
        grad_outputs = list(by_multiplier.values())
        (gradient,) = torch.autograd.grad(list(factors.values()), [zeros], grad_outputs)
    return gradient
