"""The one training loop."""

import pytest
import torch

from masked_network.backbones import forward
from masked_network.composition import compose
from model_store.network import FrozenNetwork
from training.bank_options import BankOptions
from training.batches import Examples
from training.fitting import Epoch, FitOptions, OnEpoch, accuracy, fit, unheard
from training.image_sets import ImageSet
from training.new_networks import new_network


def learn(
    network: FrozenNetwork, data: ImageSet, options: FitOptions, on_epoch: OnEpoch = unheard
) -> tuple[float, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    alpha = torch.randn(len(network.layers), network.bank.size, generator=generator)
    alpha.requires_grad_()
    reached = fit(
        network.backbone,
        lambda: compose(network.weights, network.bank, alpha),
        [alpha],
        data.train.examples(network.manifest.preprocessing),
        data.held_out.examples(network.manifest.preprocessing),
        len(data.classes),
        options,
        on_epoch=on_epoch,
    )
    return reached, alpha.detach()


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_what_is_left_is_what_reached_the_returned_accuracy(
    network: FrozenNetwork, digits: ImageSet, optimizer: str, schedule: str
) -> None:
    options = FitOptions(3, 0.1, 64, 0.0, 0, optimizer, schedule)  # type: ignore[arg-type]  # pytest passes strings
    reached, alpha = learn(network, digits, options)
    held_out = digits.held_out.examples(network.manifest.preprocessing)
    weights = compose(network.weights, network.bank, alpha)
    assert accuracy(network.backbone, weights, held_out, 10) == reached > 0.5


def test_the_same_seed_learns_the_same_values(network: FrozenNetwork, digits: ImageSet) -> None:
    options = FitOptions(1, 0.1, 64, exposure=0.5, seed=5)
    (_, first), (_, second) = learn(network, digits, options), learn(network, digits, options)
    assert torch.equal(first, second)
    _, other = learn(network, digits, FitOptions(1, 0.1, 64, exposure=0.5, seed=6))
    assert not torch.equal(first, other)


def test_nothing_to_learn_from_is_an_error(network: FrozenNetwork, digits: ImageSet) -> None:
    whole = digits.train.examples(network.manifest.preprocessing)
    none = Examples(whole.inputs[:0], whole.labels[:0])
    for train, held_out in ((none, whole), (whole, none)):
        with pytest.raises(ValueError, match="no data"):
            fit(network.backbone, dict, [], train, held_out, 10, FitOptions(1, 0.1))


def test_patience_ends_the_fit_and_keeps_the_best_epoch(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    heard: list[Epoch] = []
    options = FitOptions(50, 0.4, 64, schedule="constant", patience=3)
    reached, _ = learn(network, digits, options, heard.append)
    accuracies = [epoch.held_out_accuracy for epoch in heard]
    best = accuracies.index(max(accuracies))
    assert [epoch.epoch for epoch in heard] == list(range(1, best + 5))
    assert reached == accuracies[best]
    assert heard[-1].loss < heard[0].loss


def test_superfluous_outputs_are_learned_never_to_answer(digits: ImageSet) -> None:
    options, first = BankOptions(size=64, outputs=30), FitOptions(1, 0.1)
    wide = new_network(options, digits.preprocessing(), lambda _: digits, first)
    _, alpha = learn(wide, digits, FitOptions(6, 0.2, 64))
    inputs = digits.test.examples(wide.manifest.preprocessing).inputs
    with torch.no_grad():
        logits = forward(wide.backbone, compose(wide.weights, wide.bank, alpha), inputs)
    assert float(logits.softmax(dim=1)[:, 10:].sum(dim=1).mean()) < 0.05


def test_steps_end_the_fit_in_the_middle_of_an_epoch(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    heard: list[Epoch] = []
    options = FitOptions(9, 0.1, 128, most_steps=len(digits.train) // 128 + 4)
    reached, alpha = learn(network, digits, options, heard.append)
    assert options.steps(len(digits.train)) == options.most_steps
    assert [epoch.epoch for epoch in heard] == [1, 2]
    assert reached == max(epoch.held_out_accuracy for epoch in heard)
    _, longer = learn(network, digits, FitOptions(2, 0.1, 128))
    assert not torch.equal(alpha, longer)


def test_more_steps_than_the_epochs_have_change_nothing() -> None:
    assert FitOptions(2, 0.1, 10, most_steps=99).steps(35) == FitOptions(2, 0.1, 10).steps(35) == 8
