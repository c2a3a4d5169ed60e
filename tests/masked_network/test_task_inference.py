import math
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.backbones import build_backbone, forward, masked_layers
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import MaskBank, partition_bank, random_bank
from masked_network.supermask import masked_weights
from masked_network.task_inference import (
    Candidates,
    binary_choice,
    entropies_of_tasks,
    entropy_nats,
    one_shot_scores,
    relative_entropy,
    superfluous_logsumexp,
    superpose,
)
from masked_network.task_statistics import pooled_statistics, statistics_layers

BACKBONE = build_backbone("lenet-300-100", (1, 3, 3), 5)
LAYERS = masked_layers(BACKBONE)
WEIGHTS = {name: weight.double() for name, weight in signed_constant_weights(LAYERS, 1).items()}
BANKS = [partition_bank(LAYERS, 6, 1), random_bank(LAYERS, 11, 0.4, 1)]
MIXTURES = [(1, 0, 0), (4, 0, 0), (0, 1, 0), (0, 3, 0), (3, 2, 0), (0, 0, 2), (2, 1, 2)]

each_bank = pytest.mark.parametrize("bank", BANKS, ids=["partition", "random"])
each_mixture = pytest.mark.parametrize(("composed", "dedicated", "hybrids"), MIXTURES)


def candidates_of(bank: MaskBank, composed: int, dedicated: int, hybrids: int = 0) -> Candidates:
    """So many tasks by coefficients, by a mask, and by a mask of the last layer alone."""
    generator = torch.Generator().manual_seed(1)
    shape = (composed + hybrids, len(LAYERS), bank.size)
    coefficients = torch.randn(shape, generator=generator, dtype=torch.float64)
    coefficients[composed:, -1] = 0
    supermasks = [
        {layer.name: torch.rand(layer.shape, generator=generator) < 0.5 for layer in layers}
        for layers in [LAYERS[-1:]] * hybrids + [LAYERS] * dedicated
    ]
    return Candidates(coefficients, supermasks, hybrids=hybrids)


def tasks_of(bank: MaskBank, candidates: Candidates) -> list[dict[str, Tensor]]:
    """Every task's own weights."""
    tasks = [compose(WEIGHTS, bank, one) for one in candidates.coefficients]
    tasks += [{}] * (len(candidates.supermasks) - candidates.hybrids)
    for task, masks in enumerate(candidates.supermasks, len(tasks) - len(candidates.supermasks)):
        masked = {name: WEIGHTS[name] for name in masks}
        tasks[task] = tasks[task] | masked_weights(masked, masks)
    return tasks


def naive_superposition(
    bank: MaskBank, candidates: Candidates, belief: Tensor
) -> Mapping[str, Tensor]:
    """Every task's own weights, dense, each times its belief."""
    tasks = tasks_of(bank, candidates)
    return {
        name: torch.stack([p * task[name] for p, task in zip(belief, tasks, strict=True)]).sum(0)
        for name in WEIGHTS
    }


@each_bank
@each_mixture
def test_superposition_is_the_naive_sum_over_tasks(
    bank: MaskBank, composed: int, dedicated: int, hybrids: int
) -> None:
    candidates = candidates_of(bank, composed, dedicated, hybrids)
    assert len(candidates) == composed + dedicated + hybrids
    generator = torch.Generator().manual_seed(2)
    belief = torch.rand(len(candidates), generator=generator, dtype=torch.float64).softmax(0)
    torch.testing.assert_close(
        superpose(WEIGHTS, bank, candidates, belief),
        dict(naive_superposition(bank, candidates, belief)),
    )


@each_bank
def test_superposition_is_the_composition_of_averaged_coefficients(bank: MaskBank) -> None:
    candidates = candidates_of(bank, 4, 0)
    belief = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
    averaged = (belief.view(-1, 1, 1) * candidates.coefficients).sum(0)
    torch.testing.assert_close(
        superpose(WEIGHTS, bank, candidates, belief), compose(WEIGHTS, bank, averaged)
    )


@each_bank
def test_belief_in_one_task_alone_is_that_task(bank: MaskBank) -> None:
    candidates = candidates_of(bank, 2, 2, 1)
    tasks = tasks_of(bank, candidates)
    for belief, task in zip(torch.eye(5, dtype=torch.float64), tasks, strict=True):
        torch.testing.assert_close(superpose(WEIGHTS, bank, candidates, belief), task)


@each_bank
@each_mixture
@pytest.mark.parametrize("classes", [2, 5])
def test_one_shot_scores_are_the_gradient_through_the_naive_superposition(
    bank: MaskBank, composed: int, dedicated: int, hybrids: int, classes: int
) -> None:
    candidates = candidates_of(bank, composed, dedicated, hybrids)
    inputs = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(3)).double()
    total = len(candidates)
    belief = torch.full((total,), 1 / total, dtype=torch.float64, requires_grad=True)
    logits = forward(BACKBONE, naive_superposition(bank, candidates, belief), inputs)
    probabilities = logits[:, :classes].softmax(dim=1)
    entropy = -(probabilities * probabilities.log()).sum(dim=1).mean()
    (expected,) = torch.autograd.grad(entropy, [belief])
    scores = one_shot_scores(BACKBONE, WEIGHTS, bank, candidates, inputs, classes)
    assert scores.abs().min() > 0
    torch.testing.assert_close(scores, -expected)


@each_bank
@each_mixture
def test_one_shot_scores_of_g_are_its_gradient_through_the_superfluous_outputs_alone(
    bank: MaskBank, composed: int, dedicated: int, hybrids: int
) -> None:
    candidates = candidates_of(bank, composed, dedicated, hybrids)
    inputs = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(3)).double()
    total = len(candidates)
    belief = torch.full((total,), 1 / total, dtype=torch.float64, requires_grad=True)
    logits = forward(BACKBONE, naive_superposition(bank, candidates, belief), inputs)
    # By hand: d logsumexp = softmax, and that of the real outputs counts for nothing.
    slopes = logits.detach().softmax(dim=1)
    slopes[:, :2] = 0
    (expected,) = torch.autograd.grad((slopes * logits).sum(dim=1).mean(), [belief])
    scores = one_shot_scores(BACKBONE, WEIGHTS, bank, candidates, inputs, 2, superfluous_logsumexp)
    assert scores.abs().min() > 0
    torch.testing.assert_close(scores, -expected)


@pytest.mark.parametrize("classes", [5, 6])
def test_g_without_superfluous_outputs_is_refused(classes: int) -> None:
    candidates = candidates_of(BANKS[0], 2, 0)
    inputs = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    arguments = (BACKBONE, WEIGHTS, BANKS[0], candidates, inputs, classes, superfluous_logsumexp)
    with pytest.raises(ValueError, match=f"beyond {classes} classes, got 5 outputs"):
        one_shot_scores(*arguments)


@each_bank
@each_mixture
def test_binary_choice_halves_by_one_shot_until_one_task_is_left(
    bank: MaskBank, composed: int, dedicated: int, hybrids: int
) -> None:
    every = candidates_of(bank, composed, dedicated, hybrids)
    inputs = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(5)).double()
    left, rounds = set(range(len(every))), 0
    while len(left) > 1:
        kept = sorted(left)
        scores = one_shot_scores(BACKBONE, WEIGHTS, bank, every.subset(kept), inputs, 5)
        order = sorted(range(len(kept)), key=lambda position: -float(scores[position]))
        left = {kept[position] for position in order[: math.ceil(len(kept) / 2)]}
        rounds += 1
    assert rounds == math.ceil(math.log2(len(every)))
    assert {binary_choice(BACKBONE, WEIGHTS, bank, every, inputs, 5)} == left


@each_bank
def test_a_subset_takes_part_as_those_tasks_alone(bank: MaskBank) -> None:
    every = candidates_of(bank, 2, 2, 2)
    kept = [1, 2, 5]  # one of each kind
    assert len(every.subset(kept)) == 3
    belief = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    among_all = torch.zeros(6, dtype=torch.float64).index_put((torch.tensor(kept),), belief)
    torch.testing.assert_close(
        superpose(WEIGHTS, bank, every.subset(kept), belief),
        superpose(WEIGHTS, bank, every, among_all),
    )


def test_one_shot_scores_are_the_same_where_gradients_are_off() -> None:
    candidates = candidates_of(BANKS[0], 3, 2)
    inputs = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(4)).double()
    arguments = (BACKBONE, WEIGHTS, BANKS[0], candidates, inputs, 5)
    scores = one_shot_scores(*arguments)
    with torch.no_grad():
        assert torch.equal(one_shot_scores(*arguments), scores)
    assert not scores.requires_grad


def test_scoring_no_candidates_is_refused() -> None:
    candidates = candidates_of(BANKS[0], 0, 0)
    inputs = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="at least one candidate, got none"):
        one_shot_scores(BACKBONE, WEIGHTS, BANKS[0], candidates, inputs, 5)


@pytest.mark.parametrize("shape", [(4,), (6,), (1, 5), ()])
def test_belief_of_a_wrong_shape_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    candidates = candidates_of(BANKS[0], 3, 2)
    with pytest.raises(ValueError, match=r"expected a belief \(5,\), got \(") as refusal:
        superpose(WEIGHTS, BANKS[0], candidates, torch.ones(shape, dtype=torch.float64))
    assert str(refusal.value).endswith(str(shape))


def test_candidates_for_another_bank_are_refused_with_both_shapes() -> None:
    candidates = candidates_of(BANKS[1], 3, 0)
    with pytest.raises(ValueError, match=r"expected coefficients \(3, 6\), got \(3, 11\)"):
        superpose(WEIGHTS, BANKS[0], candidates, torch.ones(3, dtype=torch.float64))


RESNET = build_backbone("resnet-18-small", (1, 4, 4), 5)
RESNET_LAYERS = masked_layers(RESNET)
RESNET_WEIGHTS = {
    name: weight.double() for name, weight in signed_constant_weights(RESNET_LAYERS, 1).items()
}
RESNET_BANK = partition_bank(RESNET_LAYERS, 4, 1)


def normalised_candidates() -> Candidates:
    """Three tasks of a network that normalises, the last by a dedicated mask."""
    generator = torch.Generator().manual_seed(1)
    shape = (2, len(RESNET_LAYERS), RESNET_BANK.size)
    coefficients = torch.randn(shape, generator=generator, dtype=torch.float64)
    supermask = {
        one.name: torch.rand(one.shape, generator=generator) < 0.5 for one in RESNET_LAYERS
    }
    statistics = {}
    for layer in statistics_layers(RESNET):
        means = torch.randn(3, layer.channels, generator=generator)
        statistics[layer.mean] = means.double() / 4
        variances = torch.rand(3, layer.channels, generator=generator)
        statistics[layer.variance] = variances.double() + 0.5
    return Candidates(coefficients, [supermask], statistics)


def test_superposed_statistics_are_those_of_the_tasks_mixture() -> None:
    candidates = normalised_candidates()
    belief = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    superposed = superpose(RESNET_WEIGHTS, RESNET_BANK, candidates, belief)
    expected = pooled_statistics(candidates.statistics, belief)
    assert set(superposed) == set(RESNET_WEIGHTS) | set(expected)
    assert all(torch.equal(superposed[name], expected[name]) for name in expected)
    alone = superpose(RESNET_WEIGHTS, RESNET_BANK, candidates, torch.eye(3).double()[2])
    for name, all_tasks in candidates.statistics.items():
        assert torch.equal(alone[name], all_tasks[2])


def test_a_subset_brings_its_own_statistics() -> None:
    subset = normalised_candidates().subset([0, 2])
    for name, every in normalised_candidates().statistics.items():
        assert torch.equal(subset.statistics[name], every[[0, 2]])


def test_one_shot_scores_of_convolutions_are_the_gradient_with_the_mixture_held_fixed() -> None:
    candidates = normalised_candidates()
    inputs = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(3)).double()
    belief = torch.full((3,), 1 / 3, dtype=torch.float64, requires_grad=True)
    tasks = [compose(RESNET_WEIGHTS, RESNET_BANK, one) for one in candidates.coefficients]
    tasks += [masked_weights(RESNET_WEIGHTS, candidates.supermasks[0])]
    superposed = {
        name: sum(p * task[name] for p, task in zip(belief, tasks, strict=True))
        for name in RESNET_WEIGHTS
    }
    fixed = pooled_statistics(candidates.statistics, belief.detach())
    logits = forward(RESNET, superposed | fixed, inputs)
    (expected,) = torch.autograd.grad(entropy_nats(logits[:, :3]).mean(), [belief])
    scores = one_shot_scores(RESNET, RESNET_WEIGHTS, RESNET_BANK, candidates, inputs, 3)
    assert scores.abs().min() > 0
    torch.testing.assert_close(scores, -expected)


LOGITS = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=12)


@given(LOGITS)
def test_entropy_lies_between_zero_and_that_of_the_uniform_answer(logits: list[float]) -> None:
    entropy = entropy_nats(torch.tensor([logits], dtype=torch.float64))
    assert entropy.shape == (1,)
    assert -1e-12 <= entropy.item() <= math.log(len(logits)) + 1e-12


@given(LOGITS, st.floats(-1e3, 1e3))
def test_entropy_does_not_change_when_all_logits_shift(logits: list[float], shift: float) -> None:
    values = torch.tensor(logits, dtype=torch.float64)
    torch.testing.assert_close(
        entropy_nats(values + shift), entropy_nats(values), atol=1e-7, rtol=0
    )


def test_entropy_of_equal_logits_is_the_greatest_and_of_a_certain_answer_zero() -> None:
    logits = torch.tensor([[3.0, 3.0, 3.0], [0.0, 1e30, 0.0]])
    expected = torch.tensor([math.log(3), 0.0])
    torch.testing.assert_close(entropy_nats(logits), expected)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_relative_entropy_of_the_uniform_answer_is_one_for_any_number_of_classes(
    classes: int,
) -> None:
    uniform = entropy_nats(torch.zeros(1, classes, dtype=torch.float64)).item()
    assert relative_entropy(uniform, classes) == pytest.approx(1)
    assert relative_entropy(0.0, classes) == 0


def test_a_task_of_one_class_counts_as_knowing_nothing() -> None:
    assert relative_entropy(0.0, 1) == 1.0


def test_tasks_entropies_are_each_of_its_own_classes() -> None:
    logits = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0))
    counts = [2, 7, 1, 7, 2]
    found = entropies_of_tasks(logits, torch.tensor(counts))
    for own, of_task, count in zip(found, logits, counts, strict=True):
        assert torch.equal(own, entropy_nats(of_task[:, :count]))
