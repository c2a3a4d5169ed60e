"""The compiled library, where installing could build it, by ctypes: all that is C++ here.

Only passes on what its callers have checked. Calls hold no lock of the interpreter.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from masked_network.structures import (
    ByteCodes,
    DenseLayer,
    Kept,
    KeptGaussians,
    LaneRoom,
    Layer,
    OfTasks,
    RowLayer,
    RowRoom,
    Step,
)

Numbers: TypeAlias = NDArray[np.float32]

_LIBRARY = "_lanes"
_VERSION = 16
"""What `impress_version` has to answer: a library of other sources is none."""


@dataclass(frozen=True)
class Kernels:
    """The library's functions on tensors: contiguous, in main memory, of the types said there.

    What a row alone takes is given as numpy has it: around so little work torch's own operations
    take longer, and push out of the caches what the next request needs.
    """

    library: ctypes.CDLL
    tile: int
    """How many outputs the codes of a layer are laid side by side for."""
    lanes: int
    """How many numbers a vector holds: 16, 8 or 4, as many as the machine can."""
    permutes_bytes: bool
    """Whether tables are looked up in registers, where the machine can."""

    def product(
        self,
        layer: Layer,
        tables: Tensor,
        task_of_row: Tensor,
        inputs: Tensor,
        outputs: Tensor,
        scratch: Tensor,
    ) -> None:
        """Write the layer's outputs of all rows; `tables` `[T, >= entries]` may be a slice."""
        self.library.impress_product(
            *(layer, tables.data_ptr(), tables.stride(0)),
            *(task_of_row.data_ptr(), inputs.data_ptr(), outputs.data_ptr()),
            *(len(inputs), scratch.data_ptr(), self.lanes),
        )

    def residual(
        self,
        steps: "ctypes.Array[Step]",
        tasks: OfTasks,
        task_of_row: Tensor,
        inputs: Tensor,
        logits: Tensor,
        scratch: Tensor,
        place_size: int,
        most_outputs: int,
    ) -> None:
        """Write the logits of rows of a network of these steps."""
        self.library.impress_residual(
            *(steps, len(steps), tasks, task_of_row.data_ptr(), inputs.data_ptr()),
            *(inputs[0].numel(), logits.data_ptr(), logits.shape[1], len(inputs)),
            *(scratch.data_ptr(), place_size, most_outputs, self.lanes),
        )

    def few_rows(
        self,
        layers: "ctypes.Array[RowLayer]",
        tables: Numbers,
        task_of_row: NDArray[np.int64],
        inputs: Numbers,
        outputs: Numbers,
        scratch: Tensor,
    ) -> bool:
        """Write the logits of rows of a network of these layers, a ReLU between each two.

        `tables` `[T, L, entries]`, or of a task 0 alone `[L, entries]`; `scratch` `[2, outputs of
        the widest layer]`. Only where it `permutes_bytes`; false where a table of more than 256
        entries has more than 16 numbers.
        """
        entries = tables.shape[-1]
        done: int = self.library.impress_few_rows(
            *(layers, len(layers), tables.ctypes.data, tables.shape[-2] * entries, entries),
            *(task_of_row.ctypes.data, inputs.ctypes.data, outputs.ctypes.data, len(inputs)),
            *(scratch.data_ptr(), scratch.shape[1]),
        )
        return bool(done)

    def kept_rows(
        self,
        layers: "ctypes.Array[RowLayer]",
        kept: Kept,
        values: "ctypes.Array[ctypes.c_void_p]",
        scales: "ctypes.Array[ctypes.c_void_p]",
        rows: int,
        room: RowRoom,
    ) -> bool:
        """`few_rows` of `room`, of tasks whose values and scales lie where each row's say.

        False also where a task has bits beyond its last coefficient.
        """
        done: int = self.library.impress_kept_rows(
            *(layers, len(layers), kept, values, scales, rows, room)
        )
        return bool(done)

    def kept_lanes(
        self,
        layers: "ctypes.Array[Layer]",
        first: "ctypes.Array[ctypes.c_int64]",
        kept: Kept,
        values: "ctypes.Array[ctypes.c_void_p]",
        scales: "ctypes.Array[ctypes.c_void_p]",
        rows: int,
        room: LaneRoom,
    ) -> bool:
        """Write the logits of rows of a network of these layers, a ReLU between each two.

        Each row's task has its values and scales where `values` and `scales` say. False where one
        has bits beyond its last coefficient.
        """
        done: int = self.library.impress_kept_lanes(
            *(layers, first, len(layers), kept, values, scales, rows, room, self.lanes)
        )
        return bool(done)

    def dense_rows(
        self,
        layers: "ctypes.Array[DenseLayer]",
        inputs: Numbers,
        outputs: Numbers,
        scratch: Tensor,
    ) -> None:
        """Write the logits of rows of a network of these layers, a ReLU between each two.

        `scratch` `[2, >= rows, outputs of the widest layer]`.
        """
        self.library.impress_dense_rows(
            *(layers, len(layers), inputs.ctypes.data, outputs.ctypes.data, len(inputs)),
            *(scratch.data_ptr(), scratch.shape[-1], self.lanes),
        )

    def coefficients(
        self,
        kept: Kept,
        values: NDArray[Any],
        scales: NDArray[np.float16] | None,
        coefficients: Numbers,
    ) -> bool:
        """Write `[T, entries]` of values `[T, task_bytes]` and scales fp16 `[T, layers]`.

        False where a task has bits beyond its last coefficient.
        """
        whole: int = self.library.impress_coefficients(
            *(kept, values.ctypes.data, None if scales is None else scales.ctypes.data),
            *(coefficients.size // kept.entries, coefficients.ctypes.data),
        )
        return bool(whole)

    def likelihoods(
        self, kept: KeptGaussians, levels: Tensor, projected: Tensor, likelihoods: Tensor
    ) -> None:
        """Write `[T, n]` of levels `[T, task_bytes]` and rows `[n, count]`; up to 64 directions."""
        self.library.impress_likelihoods(
            *(kept, levels.data_ptr(), projected.data_ptr()),
            *(*likelihoods.shape, likelihoods.data_ptr()),
        )

    def look_up(self, signed: Tensor, table: Tensor, composed: Tensor) -> None:
        """Write `table[signed]`; uint16 codes, words of 2 or 4 bytes."""
        self.library.impress_look_up(
            *(signed.data_ptr(), table.data_ptr(), composed.data_ptr()),
            *(composed.numel(), composed.element_size()),
        )

    def look_up_bytes(
        self, layers: "ctypes.Array[ByteCodes]", tables: Tensor, composed: Tensor, words: int
    ) -> None:
        """Write `±constant * tables[first + codes]` of each layer, from its place on, as `words`.

        uint8 codes in blocks of 64, a sign bit each; fp32 tables.
        """
        self.library.impress_look_up_bytes(
            *(layers, len(layers), tables.data_ptr(), composed.data_ptr(), words),
        )


@cache
def compiled_kernels() -> Kernels | None:
    """The library; None where installing had no compiler, or built other sources than these."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(_LIBRARY + suffix)
        if path.is_file():
            library = ctypes.CDLL(str(path))
            if library.impress_version() == _VERSION:
                return _declared(library)
    return None


def _declared(library: ctypes.CDLL) -> Kernels:
    pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    library.impress_product.argtypes = [
        *(ctypes.POINTER(Layer), pointer, count, pointer, pointer, pointer, count, pointer, number)
    ]
    library.impress_residual.argtypes = [
        *(ctypes.POINTER(Step), count, ctypes.POINTER(OfTasks), pointer, pointer, count),
        *(pointer, count, count, pointer, count, count, number),
    ]
    library.impress_few_rows.argtypes = [
        *(ctypes.POINTER(RowLayer), count, pointer, count, count, pointer, pointer, pointer),
        *(count, pointer, count),
    ]
    library.impress_few_rows.restype = number
    library.impress_kept_rows.argtypes = [
        *(ctypes.POINTER(RowLayer), count, ctypes.POINTER(Kept), pointer, pointer, count),
        ctypes.POINTER(RowRoom),
    ]
    library.impress_kept_rows.restype = number
    library.impress_kept_lanes.argtypes = [
        *(ctypes.POINTER(Layer), pointer, count, ctypes.POINTER(Kept), pointer, pointer, count),
        *(ctypes.POINTER(LaneRoom), number),
    ]
    library.impress_kept_lanes.restype = number
    library.impress_dense_rows.argtypes = [
        *(ctypes.POINTER(DenseLayer), count, pointer, pointer, count, pointer, count, number),
    ]
    library.impress_coefficients.argtypes = [
        *(ctypes.POINTER(Kept), pointer, pointer, count, pointer),
    ]
    library.impress_coefficients.restype = number
    library.impress_likelihoods.argtypes = [
        *(ctypes.POINTER(KeptGaussians), pointer, pointer, count, count, pointer),
    ]
    library.impress_look_up.argtypes = [pointer, pointer, pointer, count, number]
    library.impress_look_up_bytes.argtypes = [
        *(ctypes.POINTER(ByteCodes), count, pointer, pointer, number),
    ]
    library.impress_scan.argtypes = [*[pointer] * 4, ctypes.c_float, count, count, pointer]
    for name in ("product", "residual", "dense_rows", "likelihoods", "scan"):
        getattr(library, f"impress_{name}").restype = None
    library.impress_look_up.restype = library.impress_look_up_bytes.restype = None
    return Kernels(
        library,
        library.impress_tile(),
        library.impress_lanes(),
        bool(library.impress_permutes_bytes()),
    )
