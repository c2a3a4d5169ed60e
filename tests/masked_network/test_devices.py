"""Which device is chosen."""

import pytest
import torch

from masked_network.devices import CPU, chosen_device


def test_the_cpu_can_always_be_asked_for() -> None:
    assert chosen_device("cpu") == CPU


def test_auto_is_a_gpu_where_torch_sees_one_and_cuda_is_refused_where_it_sees_none() -> None:
    if torch.cuda.is_available():
        assert chosen_device("auto") == chosen_device("cuda") == torch.device("cuda")
    else:
        assert chosen_device("auto") == CPU
        with pytest.raises(ValueError, match="no CUDA device"):
            chosen_device("cuda")
