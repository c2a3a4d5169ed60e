from collections.abc import Iterator

import pytest
import torch

from masked_network.backbones import build_backbone, masked_layers
from model_store.network import FrozenNetwork
from service.engine.threads import use_threads_that_help


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def large(network: FrozenNetwork) -> FrozenNetwork:
    backbone = build_backbone("fc-1024-1024", (1, 28, 28), 10)
    layers = masked_layers(backbone)
    return FrozenNetwork(network.manifest, backbone, layers, network.weights, network.bank)


def test_a_small_network_is_served_by_one_thread(
    network: FrozenNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    use_threads_that_help(network)
    assert torch.get_num_threads() == 1


def test_a_large_network_and_who_said_how_many_keep_theirs(
    network: FrozenNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    use_threads_that_help(large(network))
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    use_threads_that_help(network)
    assert torch.get_num_threads() == 2
