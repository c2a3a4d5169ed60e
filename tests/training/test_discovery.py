"""Masks from a stream that names no task."""

from pathlib import Path

import pytest
import torch

from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.verify import verify_store
from training.bank_options import BankOptions
from training.discovered_tasks import UnnamedStream, discover_tasks, measure_discovered
from training.discovery import (
    Discovery,
    DiscoveryOptions,
    check_discoverable,
    responsibilities,
)
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.new_networks import new_network
from training.task_streams import TaskStream

QUICK = DiscoveryOptions(learning_rate=1e-3, ask_every=50)
PERMUTED = TaskStream("permuted")


@pytest.fixture(scope="module")
def wide(digits: ImageSet) -> FrozenNetwork:
    """LeNet-300-100 with a hundred outputs."""
    options, fit = BankOptions(size=16, outputs=100), FitOptions(1, 0.1)
    return new_network(options, digits.preprocessing(), lambda _: digits, fit)


def unnamed(digits: ImageSet, tasks: int = 3, batches: int = 200) -> UnnamedStream:
    return UnnamedStream(digits, PERMUTED, tasks, batches, 64)


def test_each_task_of_a_stream_that_names_none_gets_a_mask_which_answers_it(
    tmp_path: Path, wide: FrozenNetwork, digits: ImageSet
) -> None:
    store = Store.create(tmp_path, wide)
    learned = discover_tasks(store, unnamed(digits), QUICK)
    assert [dict(counts) for counts in learned] == [{0: 200}, {1: 200}, {2: 200}]
    assert store.task_ids() == ["discovered-0", "discovered-1", "discovered-2"]
    assert store.load("discovered-0").record.provenance["tolerance"] == 1 / 8
    found = measure_discovered(store, unnamed(digits), learned)
    assert found[2].named == "discovered-2"
    assert found[2].learned_from == {"discovered-2": 200}
    assert found[2].accuracy > 0.8


def test_a_stream_that_is_stopped_leaves_a_whole_store_with_the_masks_that_were_done(
    tmp_path: Path, wide: FrozenNetwork, digits: ImageSet
) -> None:
    store = Store.create(tmp_path, wide)
    batches = 0

    def stop() -> None:
        nonlocal batches
        batches += 1
        if batches == 130:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover_tasks(store, unnamed(digits, batches=100), QUICK, stop)
    assert Store.open(tmp_path).task_ids() == ["discovered-0"]
    assert verify_store(tmp_path).findings == ()
    with pytest.raises(OptionError, match="holds discovered-0 already"):
        discover_tasks(store, unnamed(digits), QUICK)


def test_the_same_seed_discovers_the_same_masks(wide: FrozenNetwork, digits: ImageSet) -> None:
    batch = digits.train.examples(wide.manifest.preprocessing)
    first, second, other = (
        Discovery(wide, DiscoveryOptions(1e-3, seed=seed)) for seed in (0, 0, 1)
    )
    for discovery in (first, second, other):
        assert [discovery.learn(batch) for _ in range(3)] == [0, 0, 0]
    for name, mask in first.mask(0).items():
        assert torch.equal(mask, second.mask(0)[name])
        assert not torch.equal(mask, other.mask(0)[name])


def test_a_question_is_asked_only_every_so_many_batches(
    wide: FrozenNetwork, digits: ImageSet
) -> None:
    # Nothing stands out enough for a tolerance beyond all bounds, so each question is a new mask.
    discovery = Discovery(wide, DiscoveryOptions(ask_every=3, tolerance=1e9))
    batch = digits.train.rows(torch.arange(8)).examples(wide.manifest.preprocessing)
    assert [discovery.learn(batch) for _ in range(8)] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert len(discovery) == 3


def test_beliefs_sum_to_one_and_a_mask_alone_has_it_all(
    wide: FrozenNetwork, digits: ImageSet
) -> None:
    discovery = Discovery(wide, QUICK)
    batch = digits.train.rows(torch.arange(8)).examples(wide.manifest.preprocessing)
    discovery.learn(batch)
    mask = discovery.mask(0)
    assert responsibilities(wide, [mask], batch.inputs).tolist() == [1.0]
    torch.testing.assert_close(
        responsibilities(wide, [mask] * 4, batch.inputs), torch.full((4,), 0.25)
    )


def test_what_cannot_be_discovered_is_refused_in_words(digits: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="share their labels: split ones do not"):
        UnnamedStream(digits, TaskStream("split"), 2, 10)
    narrow, normalising = (
        new_network(options, digits.preprocessing(), lambda _: digits, FitOptions(1, 0.1))
        for options in (
            BankOptions(size=16, outputs=5),
            BankOptions(size=16, backbone="resnet-18-small"),
        )
    )
    with pytest.raises(OptionError, match="10 classes need as many outputs, the store has 5"):
        discover_tasks(Store.create(tmp_path, narrow), unnamed(digits), QUICK)
    with pytest.raises(OptionError, match="does not normalise, got resnet-18-small"):
        check_discoverable(normalising, 10)
    with pytest.raises(OptionError, match="a learning rate is above 0, got nan"):
        DiscoveryOptions(float("nan"))
    with pytest.raises(OptionError, match="a tolerance is 0 or more, got -1"):
        DiscoveryOptions(tolerance=-1)
