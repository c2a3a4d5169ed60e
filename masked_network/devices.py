"""Where torch computes: on a GPU where there is one, or where it was told to."""

from typing import Literal

import torch
from torch import Tensor

DeviceName = Literal["auto", "cpu", "cuda"]

CPU = torch.device("cpu")


def chosen_device(wanted: DeviceName) -> torch.device:
    """`auto` is a GPU where there is one. Raises `ValueError` where cuda is asked for in vain."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("cuda was asked for, but this build of torch sees no CUDA device")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def laid_out_for_convolutions(images: Tensor) -> Tensor:
    """The same images `[B, C, H, W]`, on a GPU with a pixel's channels side by side in memory.

    What follows keeps that layout; convolving and normalising so take about half the time there.
    """
    if not images.is_cuda:
        return images
    return images.contiguous(memory_format=torch.channels_last)
