"""Rows of any tasks in one pass, without composed weights, where network and machine allow it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from masked_network.compiled import compiled_kernels
from masked_network.fused_batch import FusedBatch
from masked_network.gpu_batch import GpuBatch
from masked_network.gpu_kernels import gpu_kernels
from masked_network.mixed_batch import MixedBatch
from masked_network.register_rows import MOST_ROWS
from masked_network.stacked_bank import StackedBank
from model_store.artifact_layout import ArtifactLayout
from model_store.network import FrozenNetwork
from service.engine.paths.planner import ForwardPath
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask, stacked

_MOST_STACKED = 16
"""Masks of a stacked bank: each is as large as the network's weights, and as much to compute."""

RunMixed = Callable[[MixedBatch, Tensor], Tensor]
RunFew = Callable[[Tensor, Tensor], Tensor | None]


class MixedForward:
    """Logits of rows that belong to different tasks; for one thread at a time."""

    def __init__(
        self, network: FrozenNetwork, name: str, run: RunMixed, run_few: RunFew | None = None
    ) -> None:
        self.name = name
        """`fused` or `stacked`."""
        self._network = network
        self._run = run
        self._run_few = run_few

    @staticmethod
    def takes(task: RegisteredTask) -> bool:
        """Whether a task's kind can share a pass: one that has no mask of its own."""
        return task.kind == "coefficients"

    def __call__(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        """Logits `[n, outputs]` of each task's rows `[n, row_length]`; no task occurs twice."""
        if self._run_few is not None and sum(map(len, rows)) <= MOST_ROWS:
            few = [self._few(self._run_few, *one) for one in zip(tasks, rows, strict=True)]
            answers = [one for one in few if one is not None]
            if len(answers) == len(few):
                return answers
        return self._together(tasks, rows)

    def _few(self, run: RunFew, task: RegisteredTask, rows: Rows) -> Rows | None:
        inputs = self._network.manifest.preprocessing.rows_to_inputs(rows)
        logits = run(self._network.kept_coefficients(task), inputs)
        return None if logits is None else logits.numpy()

    @torch.inference_mode()
    def _together(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        of_layout: dict[ArtifactLayout, list[int]] = {}
        for index, task in enumerate(tasks):
            of_layout.setdefault(task.layout, []).append(index)
        values = [stacked([tasks[index] for index in of]) for of in of_layout.values()]
        parts = [self._network.task_statistics(one) for one in values]
        order = [index for indices in of_layout.values() for index in indices]
        lengths = [len(one) for one in rows]
        batch = MixedBatch(
            _joined([self._network.coefficients(one) for one in values]),
            torch.from_numpy(np.argsort(order).repeat(lengths)),
            {name: _joined([part[name] for part in parts]) for name in parts[0]},
        )
        inputs = self._network.manifest.preprocessing.rows_to_inputs(np.concatenate(rows))
        device = self._network.device
        logits = self._run(batch.to(device), inputs.to(device)).cpu().numpy()
        ends = accumulate(lengths)
        return [logits[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def mixed_forward(network: FrozenNetwork) -> MixedForward | None:
    """The best that there is here: fused by kernels of GPU or CPU, or over a bank of few masks.

    None where each task has to be composed.
    """
    parts = network.backbone, network.weights, network.bank
    on_gpu, kernels = gpu_kernels(network.device), compiled_kernels()
    # On a CPU many masks that overlap, which have no one plane of codes, cannot be fused.
    with suppress(ValueError):
        if on_gpu is not None:
            return MixedForward(network, "fused", GpuBatch(*parts, on_gpu))
        if kernels is not None:
            fused = FusedBatch(*parts, kernels)
            few = fused.few_rows if fused.in_registers else None
            return MixedForward(network, "fused", fused, few)
    if network.bank.size <= _MOST_STACKED:
        return MixedForward(network, "stacked", StackedBank(*parts))
    return None


def mixed_forward_for(network: FrozenNetwork, told: ForwardPath) -> MixedForward | None:
    """As `mixed_forward`, where the path that was told needs it.

    Raises `ValueError` where rows are always to mix and cannot.
    """
    mixed = None if told == "grouped" else mixed_forward(network)
    if told == "mixed" and mixed is None:
        bank = network.manifest.bank
        raise ValueError(
            "forward_path mixed: expected a bank whose rows can mix (disjoint masks, or at most "
            f"{_MOST_STACKED} that overlap), got {bank.size} masks of a {bank.kind} bank"
        )
    return mixed
