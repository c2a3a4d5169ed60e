"""Composition on a GPU in one pass over memory, and in one launch for all layers of a network.

For serving: the same weights, to the bit, as `compose`, but no gradient. This project's own.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from masked_network.gpu_codes import BLOCK, LayerBlocks
from masked_network.gpu_kernels import GpuKernels
from masked_network.mask_bank import MaskBank
from masked_network.one_pass_composition import COMPOSED_DTYPES, ComposedType
from masked_network.signed_codes import all_planes, signed_layers


class GpuComposition:
    """The codes of a bank of any kind, laid out once where weights and bank are; for any thread.

    They take a byte or two a weight and plane. Raises `ValueError` as `signed_layers` does.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        bank: MaskBank,
        kernels: GpuKernels,
        block: int = BLOCK,
    ) -> None:
        layers = signed_layers(weights, bank)
        self._bank, self._kernels = bank, kernels
        self.device = layers[0].codes.device
        # Of no coefficients at all the tables' shape is what it is.
        of_none = all_planes(bank, torch.zeros(len(bank.codes), bank.size, device=self.device))
        self._blocks = LayerBlocks(layers, prod(of_none.shape[1:]), block)
        # So that a part is one operation: of many layers they take longer than the kernel.
        self._places = {
            name: (
                shape,
                torch.empty(shape, device="meta").stride(),
                self._blocks.of_layer[name].start * block,
            )
            for name, shape in self._blocks.shapes.items()
        }
        self._only_task = torch.zeros(1, dtype=torch.int64, device=self.device)

    @property
    def codes_byte_size(self) -> int:
        """What one composition reads besides the task's tables."""
        return self._blocks.codes.byte_size

    def __call__(self, coefficients: Tensor, composed: ComposedType = "fp32") -> dict[str, Tensor]:
        """One task's weights from coefficients `[L, K]`, fp32; rounded to a narrower type at last.

        All are parts of one tensor. Raises `ValueError` on another shape, type or device.
        """
        if coefficients.dtype != torch.float32 or coefficients.device != self.device:
            got = f"{coefficients.dtype} on {coefficients.device}"
            raise ValueError(f"expected coefficients in fp32 on {self.device}, got {got}")
        if coefficients.dim() != 2:
            got = str(list(coefficients.shape))
            raise ValueError(f"expected coefficients [L, K], got {got}")
        tables = all_planes(self._bank, coefficients.contiguous()).unsqueeze(0)
        every = range(self._blocks.count)
        (flat,) = self._of_blocks(every, tables, self._only_task, COMPOSED_DTYPES[composed])
        return {name: flat.as_strided(*place) for name, place in self._places.items()}

    def of_rows(self, name: str, tables: Tensor, task_of_row: Tensor) -> Tensor:
        """A layer's weights for each row, fp32 `[B, outputs, weights of one]`.

        By all tables `[T, L, planes, entries]` and the task of each row, int64 `[B]`, unchecked.
        """
        shape, own = self._blocks.shapes[name], self._blocks.of_layer[name]
        flat = self._of_blocks(own, tables, task_of_row, torch.float32)
        return flat[:, : prod(shape)].view(len(flat), shape[0], -1)

    def _of_blocks(
        self, some: range, tables: Tensor, task_of_row: Tensor, dtype: torch.dtype
    ) -> Tensor:
        length = len(some) * self._blocks.block
        composed = torch.empty(len(task_of_row), length, dtype=dtype, device=self.device)
        self._kernels.compose(self._blocks, some, tables, task_of_row, composed)
        return composed
