"""Learning and measuring on another device than the CPU: the same, and nothing is mixed up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from masked_network.devices import CPU
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import KINDS
from tests.normalised_networks import normalised_artifact, normalised_network
from tests.stand_in_device import STAND_IN, StandIn, stand_in_device
from training.adaptation_trials import adaptation_trials
from training.artifacts import Recipe
from training.bank_choice import best_trial, probe_task, try_banks
from training.bank_options import BankOptions
from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks
from training.dedicated_masks import MaskRecipe
from training.discovered_tasks import UnnamedStream, discover_tasks, measure_discovered
from training.discovery import DiscoveryOptions
from training.evaluation import KnownTask, evaluate, known_tasks
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.inference_trials import infer_tasks
from training.mask_rules import MaskRule
from training.new_networks import new_network
from training.scenarios import measure_scenarios
from training.starts import Start
from training.stores import StoreChoices, create_store, open_store, store_on
from training.task_streams import TaskStream

PERMUTED = TaskStream("permuted")
FIT = FitOptions(2, 0.1, 32, exposure=0.5)
MASK_FIT = FitOptions(2, 3e-3, 32)
BANKS = {
    "partition": BankOptions(size=16),
    "random": BankOptions("random", 9, 0.3),
    "heterogeneous": BankOptions("heterogeneous", 2),
    "homogeneous": BankOptions("homogeneous", 2, channel_groups=2),
    "mixed": BankOptions("mixed", 4, learned=1),
    "atoms": BankOptions("atoms", 4),
    "ranked": BankOptions("ranked", 16, learned=2, own_layers=("hidden1.weight",), spread="root"),
    "normalising": BankOptions("ranked", 16, learned=1, backbone="resnet-18-small"),
}
EXACT = ("partition", "atoms", "ranked", "normalising")
"""Other banks sum in an order that is faster on the CPU, and so round otherwise there."""

RECIPES: dict[str, Recipe] = {
    "hybrid": CoefficientRecipe(FIT, "int2", mask_learning_rate=3e-3, penalty=0.005),
    "int8, from the mean of earlier tasks": CoefficientRecipe(FIT, "int8", Start("mean")),
    "top-k mask": MaskRecipe(MASK_FIT),
    "threshold mask, by transfer": MaskRecipe(MASK_FIT, MaskRule("threshold"), "transfer"),
}


@pytest.fixture
def other() -> Iterator[StandIn]:
    with stand_in_device() as device:
        yield device


@pytest.fixture(scope="module")
def few(digits: ImageSet) -> ImageSet:
    """A part of the digits."""
    first = torch.arange(64)
    parts = (digits.train, digits.held_out, digits.test)
    train, held_out, test = (part.rows(first) for part in parts)
    return ImageSet("few digits", digits.classes, train, held_out, test)


def network_on(device: torch.device, few: ImageSet, options: BankOptions) -> FrozenNetwork:
    def task(index: int) -> ImageSet:
        return PERMUTED.task(few, index)

    return new_network(options, few.preprocessing(), task, MASK_FIT, device=device)


def test_the_stand_in_refuses_what_a_gpu_refuses(other: StandIn) -> None:
    there, here = torch.ones(2).to(STAND_IN), torch.ones(2)
    assert (there + here[0]).device == STAND_IN
    assert (there + there).cpu().tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="on one device"):
        there + here
    with pytest.raises(RuntimeError, match="on one device"):
        here += there.sum()
    with pytest.raises(TypeError):
        there.numpy()


@pytest.mark.parametrize("bank", BANKS)
def test_a_bank_and_coefficients_over_it_are_the_same_learned_elsewhere(
    bank: str, few: ImageSet, other: StandIn
) -> None:
    here, there = (network_on(device, few, BANKS[bank]) for device in (CPU, STAND_IN))
    assert there.device == STAND_IN
    assert there.bank.fingerprint() == here.bank.fingerprint()
    task, recipe = PERMUTED.task(few, 5), CoefficientRecipe(FIT)
    artifacts = [recipe.learn(network, task, {}) for network in (here, there)]
    assert all(tensor.device == CPU for tensor in artifacts[1].tensors.values())
    if bank in EXACT:
        assert artifacts[0].content == artifacts[1].content
    else:
        first, second = (here.coefficients(artifact) for artifact in artifacts)
        torch.testing.assert_close(first, second, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", RECIPES)
def test_other_recipes_make_the_same_artifact_elsewhere(
    name: str, few: ImageSet, other: StandIn
) -> None:
    recipe, made = RECIPES[name], []
    for device in (CPU, STAND_IN):
        network = network_on(device, few, BANKS["partition"])
        earlier = [recipe.learn(network, PERMUTED.task(few, 0), {})]
        made.append(recipe.learn(network, PERMUTED.task(few, 1), {}, earlier=earlier).content)
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["hybrid", "top-k mask"])
def test_over_a_normalising_backbone_too(name: str, few: ImageSet, other: StandIn) -> None:
    here, recipe = normalised_network(), RECIPES[name]
    task = TaskStream("split", classes_per_task=5).task(few, 0)
    made = [recipe.learn(network, task, {}) for network in (here, here.to(STAND_IN))]
    assert made[0].content == made[1].content


def test_a_tasks_images_are_moved_once_whatever_the_epochs(few: ImageSet, other: StandIn) -> None:
    network = network_on(STAND_IN, few, BANKS["partition"])
    other.moved.clear()
    CoefficientRecipe(FitOptions(3, 0.1, 64)).learn(network, few, {})
    images = [tensor for tensor in other.moved if tensor.dim() == 4]
    assert [tensor.dtype for tensor in images] == [torch.uint8] * 2
    assert sorted(len(tensor) for tensor in images) == sorted([len(few.train), len(few.held_out)])


def test_a_store_is_measured_alike_elsewhere(few: ImageSet, other: StandIn, tmp_path: Path) -> None:
    choices = StoreChoices("partition", 16, seed=0, outputs=12)
    made = create_store(tmp_path, choices, few, PERMUTED, lambda _: MASK_FIT, device=STAND_IN)
    publish_tasks(made, plan_tasks(few, PERMUTED, [0], lambda _: CoefficientRecipe(FIT)))
    publish_tasks(made, plan_tasks(few, PERMUTED, [1], lambda _: RECIPES["hybrid"]))
    publish_tasks(made, plan_tasks(few, PERMUTED, [2], lambda _: MaskRecipe(MASK_FIT)))
    measured = []
    for device in (CPU, STAND_IN):
        store = store_on(tmp_path, device)
        assert store.network.device == device
        known, _ = known_tasks(store, few)
        measured.append(
            (
                evaluate(store, known),
                infer_tasks(store.network, known, 2),
                measure_scenarios(store.network, known, most_batches=1),
                adaptation_trials(store.network, known, 1),
            )
        )
    assert measured[0] == measured[1]


def test_tasks_with_statistics_are_named_alike_elsewhere(few: ImageSet, other: StandIn) -> None:
    here, split = normalised_network(), TaskStream("split", classes_per_task=4)
    known = [
        KnownTask(kind, normalised_artifact(here, seed, kind), few, split, seed % 2)
        for seed, kind in enumerate(KINDS)
    ]
    measured = [
        (infer_tasks(network, known, 1), measure_scenarios(network, known, (1,), 1))
        for network in (here, here.to(STAND_IN))
    ]
    assert measured[0] == measured[1]


def test_a_stream_without_names_is_discovered_alike_elsewhere(
    few: ImageSet, other: StandIn, tmp_path: Path
) -> None:
    found = []
    for device in (CPU, STAND_IN):
        network = network_on(device, few, BankOptions(size=16, outputs=100))
        store = Store.create(tmp_path / device.type, network)
        unnamed = UnnamedStream(few, PERMUTED, 2, 40, 64)
        learned = discover_tasks(store, unnamed, DiscoveryOptions(1e-3, ask_every=20))
        found.append((learned, measure_discovered(store, unnamed, learned)))
    assert found[0] == found[1]


def test_banks_tried_elsewhere_make_the_store_that_those_tried_here_make(
    few: ImageSet, other: StandIn, tmp_path: Path
) -> None:
    for device in (CPU, STAND_IN):
        (trial,) = try_banks(
            ["ranked"],
            StoreChoices(size=16),
            few,
            PERMUTED,
            probe_task(PERMUTED, few),
            CoefficientRecipe(FIT),
            lambda _: MASK_FIT,
            device=device,
        )
        Store.create(tmp_path / device.type, best_trial([trial])[1])
    here, there = (
        (tmp_path / device.type / "bank.safetensors").read_bytes() for device in (CPU, STAND_IN)
    )
    assert here == there
    opened = open_store(tmp_path / "cpu", STAND_IN)
    assert opened is not None
    assert opened.network.device == STAND_IN
