"""How many threads learning uses."""

import torch

from model_store.network import FrozenNetwork
from training.threads import use_threads_that_help


def test_a_small_network_is_learned_with_one_thread(network: FrozenNetwork) -> None:
    use_threads_that_help(network)
    assert torch.get_num_threads() == 1
