"""Coefficients of very many tasks that keep the same ones: where each belongs is found once."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.compiled import Kernels, Numbers
from masked_network.structures import Kept
from model_store.coefficient_tensors import COEFFICIENTS, SCALES, coefficients_of

_BITS: Mapping[np.dtype[Any], tuple[int, int]] = {
    np.dtype(np.float16): (16, 16),
    np.dtype(np.int8): (8, 8),
    np.dtype(np.uint8): (4, 8),
    np.dtype(np.uint16): (2, 16),
}
"""Of a coefficient, and of the words that several share, by the type, which tells the precision."""


class Sized(Protocol):
    """An array, or a place for one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its own, or of several tasks, stacked."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its numbers."""


class CoefficientReader:
    """Reads tasks that have the `used` coefficients, bool `[L, K]`; any number of threads.

    In one pass where there are `kernels`: on a task alone most of the time is what each operation
    of torch takes to begin. The numbers are those of `coefficients_of`, to the bit.
    """

    def __init__(self, used: Tensor, kernels: Kernels | None) -> None:
        self._used, self._kernels = used, kernels
        counts = used.sum(dim=1)
        self._places = used.flatten().nonzero().flatten().to(torch.int32)
        self._ends = counts[counts > 0].cumsum(0).to(torch.int32)
        self._shape = tuple(used.shape)
        self._kept = {dtype: self._kept_in(*bits) for dtype, bits in _BITS.items()}

    def read(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Coefficients `[L, K]` in fp32, zero where not used; of tensors whose types are right.

        Of the tensors of several tasks, stacked, `[T, L, K]`. Raises `ValueError` where bits beyond
        the last of the packed coefficients are set, or lengths are wrong.
        """
        if self._kernels is None:
            return coefficients_of(tensors, self._used)
        scales = tensors.get(SCALES)
        read = self.read_arrays(
            tensors[COEFFICIENTS].numpy(), None if scales is None else scales.numpy()
        )
        return torch.from_numpy(read)

    def read_arrays(self, values: NDArray[Any], scales: NDArray[np.float16] | None) -> Numbers:
        """The same of the arrays under these names, sooner for one task. Raises as `read` does."""
        if self._kernels is None:
            tensors = {COEFFICIENTS: torch.from_numpy(values)}
            if scales is not None:
                tensors[SCALES] = torch.from_numpy(scales)
            made: Numbers = coefficients_of(tensors, self._used).numpy()
            return made
        kept = self.kept(values, scales)
        read = np.empty((*values.shape[:-1], *self._shape), np.float32)
        values = np.ascontiguousarray(values)
        if scales is not None:
            scales = np.ascontiguousarray(scales)
        if not self._kernels.coefficients(kept, values, scales, read):
            raise ValueError(f"padding bits beyond {kept.count} levels are set")
        return read

    def kept(self, values: Sized, scales: Sized | None) -> Kept:
        """How tasks keep coefficients whose values and scales are of that type and shape.

        Raises `ValueError` on wrong lengths.
        """
        kept = self._kept[values.dtype]
        if values.shape[-1] * values.dtype.itemsize != kept.task_bytes:
            raise ValueError(f"expected {kept.task_bytes} bytes a task, got {list(values.shape)}")
        if scales is not None and scales.shape != (*values.shape[:-1], kept.layers):
            raise ValueError(f"expected {kept.layers} scales, got {list(scales.shape)}")
        return kept

    def _kept_in(self, bits: int, word_bits: int) -> Kept:
        return Kept(
            places=self._places.data_ptr(),
            ends=self._ends.data_ptr(),
            layers=len(self._ends),
            count=len(self._places),
            entries=self._used.numel(),
            task_bytes=-(-len(self._places) * bits // word_bits) * word_bits // 8,
            bits=bits,
        )
