"""The Triton kernels on what there is: a GPU, or in triton's interpreter; None without triton.

Without a GPU this has to be imported before anything else imports triton.
"""

import os

import torch

from masked_network.gpu_kernels import GpuKernels, imported_kernels

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def kernels_here() -> GpuKernels | None:
    if DEVICE.type == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    return imported_kernels()
