"""How likely rows are under the evidence of tasks, as it is kept: most of it is read only once."""

import torch
from torch import Tensor

from masked_network.compiled import Kernels
from masked_network.input_gaussians import direction_count
from masked_network.structures import KeptGaussians
from model_store.evidence_tensor import (
    check_evidence,
    evidence_bytes,
    evidence_of,
    level_tables,
)

_ROWS_AT_ONCE = 16
"""Whose likeliest tasks are looked at together."""


class EvidenceReader:
    """Of a store whose inputs have `length` numbers; any number of threads.

    In one pass where there are `kernels`, and nothing that is as large as the Gaussians is written.
    """

    def __init__(self, length: int, kernels: Kernels | None) -> None:
        self._length, self._kernels = length, kernels
        self._tables = level_tables()
        self._kept = KeptGaussians(
            **{name: table.data_ptr() for name, table in self._tables.items()},
            count=direction_count(length),
            task_bytes=evidence_bytes(length),
        )

    def log_likelihoods(self, packed: Tensor, projected: Tensor) -> Tensor:
        """Of rows `[n, D]` under each task of the tensors `[T, bytes]`, in nats, `[T, n]`.

        Short of a constant of D alone, as `InputGaussians.log_likelihoods` has them but for
        rounding. Raises `ValueError` on other shapes or types.
        """
        check_evidence(packed, self._length)
        if projected.dtype != torch.float32 or projected.shape[1:] != (self._kept.count,):
            expected = f"expected fp32 [n, {self._kept.count}]"
            raise ValueError(f"{expected}, got {projected.dtype} {list(projected.shape)}")
        if self._kernels is None:
            return evidence_of(packed, self._length).gaussians.log_likelihoods(projected).T
        found = torch.empty(len(packed), len(projected))
        self._kernels.likelihoods(self._kept, packed.contiguous(), projected.contiguous(), found)
        return found

    def log_likelihoods_each(self, packed: Tensor, projected: Tensor, choices: Tensor) -> Tensor:
        """The same of each row under some tasks alone, whose indices are `choices`; `[n, S]` both.

        Raises `ValueError` as `log_likelihoods`.
        """
        found = torch.empty(choices.shape)
        for start in range(0, len(projected), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            # torch leaves it unannotated
            tasks, places = choices[some].unique(return_inverse=True)  # type: ignore[no-untyped-call]
            likelihoods = self.log_likelihoods(packed[tasks], projected[some])
            found[some] = likelihoods.T.gather(1, places)
        return found
