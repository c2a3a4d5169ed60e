"""The Triton kernels, where triton can be imported and compiles for the GPU that there is.

What `compiled` is to a CPU. Only passes on what its callers have checked, and waits for no device.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from subprocess import SubprocessError
from types import ModuleType

import torch
from torch import Tensor

from masked_network.gpu_codes import BLOCK, GROUP, TILE, WIDTH, GpuCodes, LayerBlocks
from masked_network.signed_codes import SignedLayer


@dataclass(frozen=True)
class GpuKernels:
    """The kernels on tensors: contiguous, on one device, of the types said there."""

    module: ModuleType
    warps: int = 4

    def compose(
        self,
        blocks: LayerBlocks,
        some: range,
        tables: Tensor,
        task_of_row: Tensor,
        composed: Tensor,
    ) -> None:
        """Write the weights of some blocks, `[B, len(some) * block]`, for each row's task.

        Tables are fp32 `[T, L, planes, entries]`, the task of a row int64 `[B]`.
        """
        codes = blocks.codes
        self.module.compose[(len(some) * len(composed),)](
            *(codes.codes, codes.signs, tables, task_of_row),
            *(blocks.starts, blocks.magnitudes, composed),
            *(len(composed), some.start, codes.places),
            *(tables.numel() // len(tables), tables.shape[-1], composed.shape[1]),
            planes=len(codes.codes),
            packed=codes.packed,
            size=blocks.block,
            num_warps=self.warps,
            enable_fp_fusion=True,
        )

    def product(
        self,
        codes: GpuCodes,
        start: int,
        magnitude: float,
        tables: Tensor,
        task_of_row: Tensor,
        inputs: Tensor,
        outputs: Tensor,
        output_count: int,
        relu: bool,
    ) -> None:
        """Write `outputs` of all rows, 0 beyond `output_count`; a multiple of `TILE`.

        Inputs are as wide as the codes, tables and tasks as `compose` takes them; `start` is where
        the layer's table begins.
        """
        rows, width = inputs.shape
        self.module.product[(rows, outputs.shape[1] // TILE)](
            *(codes.codes, codes.signs, tables, task_of_row, inputs, outputs, start, magnitude),
            *(width, output_count, outputs.shape[1]),
            *(codes.places, tables.numel() // len(tables), tables.shape[-1]),
            planes=len(codes.codes),
            packed=codes.packed,
            relu=relu,
            tile=TILE,
            groups=WIDTH // GROUP,
            num_warps=self.warps,
            enable_fp_fusion=True,
        )


def imported_kernels() -> GpuKernels | None:
    """The kernels, whatever they run on; None where triton is not installed."""
    try:
        from masked_network import triton_kernels
    except ImportError:
        return None
    return GpuKernels(triton_kernels)


@cache
def gpu_kernels(device: torch.device) -> GpuKernels | None:
    """The kernels on a GPU; None on another device, without triton, or where it cannot compile.

    Compiling takes a C compiler and Python's headers, which not every machine has: a tiny run
    tells, and warns of what was wrong.
    """
    kernels = imported_kernels() if device.type == "cuda" else None
    if kernels is None:
        return None
    try:
        _try(kernels, device)
    except (RuntimeError, OSError, SubprocessError, kernels.module.TritonError) as error:
        warnings.warn(f"the Triton kernels cannot be used here: {error}", stacklevel=2)
        return None
    return kernels


def _try(kernels: GpuKernels, device: torch.device) -> None:
    layer = SignedLayer(
        "tried",
        (BLOCK,),
        range(1),
        torch.zeros(1, BLOCK, dtype=torch.int32, device=device),
        torch.zeros(BLOCK, dtype=torch.bool, device=device),
        1.0,
        1,
    )
    one, first = torch.ones(1, 1, 1, 1, device=device), torch.zeros(1, device=device).long()
    composed = torch.zeros(1, BLOCK, device=device)
    kernels.compose(LayerBlocks([layer], 1, BLOCK), range(1), one, first, composed)
    if float(composed.sum()) != BLOCK:
        raise RuntimeError(f"expected weights that sum to {BLOCK}, got {float(composed.sum())}")
