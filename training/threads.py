"""How many threads learning uses: one where the network is too small for more to gain anything."""

import os

import torch

from model_store.network import FrozenNetwork

_SMALL_NETWORK = 500_000


def use_threads_that_help(network: FrozenNetwork) -> None:
    """Set torch's threads to one for a small network on the CPU, unless OMP_NUM_THREADS is set.

    Steps that small gain nothing from threads and wait long for them on a busy machine: 1,000
    steps of LeNet-300-100 took 9 s with one and 198 s with two where others ran.
    """
    if "OMP_NUM_THREADS" in os.environ or network.device.type != "cpu":
        return
    if sum(layer.size for layer in network.layers) < _SMALL_NETWORK:
        torch.set_num_threads(1)
