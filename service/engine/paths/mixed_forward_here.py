"""Which pass rows of any tasks have here: what network and machine allow."""

from contextlib import suppress

from masked_network.compiled import compiled_kernels
from masked_network.fused_batch import FusedBatch
from masked_network.gpu_batch import GpuBatch
from masked_network.gpu_graphs import graph_recorder
from masked_network.gpu_kernels import gpu_kernels
from masked_network.graphed_batch import GraphedBatch
from masked_network.stacked_bank import StackedBank
from masked_network.task_slots import TaskSlots
from model_store.network import FrozenNetwork
from service.engine.paths.mixed_forward import BatchForward, MixedForward, ResidentForward
from service.engine.paths.planner import ForwardPath

_MOST_STACKED = 16
"""Masks of a stacked bank: each is as large as the network's weights, and as much to compute."""


def mixed_forward(
    network: FrozenNetwork, most_rows: int = 0, resident_bytes: int = 0
) -> MixedForward | None:
    """The best that there is: fused by kernels of GPU or CPU, or over a bank of few masks.

    None where each task has to be composed. Where a GPU is to keep tasks, launches of up to
    `most_rows` are recorded. Raises `ValueError` where it cannot keep as many.
    """
    parts = network.backbone, network.weights, network.bank
    fused_there = _fused_there(network)
    if fused_there is not None:
        if resident_bytes:
            return _resident(network, fused_there, most_rows, resident_bytes)
        return BatchForward(network, "fused", fused_there)
    if (kernels := compiled_kernels()) is not None:
        # On a CPU many masks that overlap, which have no one plane of codes, cannot be fused.
        with suppress(ValueError):
            fused = FusedBatch(*parts, kernels)
            ways = [way for way in (fused.few_rows, fused.kept_rows) if way is not None]
            return BatchForward(network, "fused", fused, ways, fused.every_task)
    if network.bank.size <= _MOST_STACKED:
        return BatchForward(network, "stacked", StackedBank(*parts))
    return None


def _fused_there(network: FrozenNetwork) -> GpuBatch | None:
    kernels = gpu_kernels(network.device)
    if kernels is None:
        return None
    # Codes beyond two bytes have no kernel.
    with suppress(ValueError):
        return GpuBatch(network.backbone, network.weights, network.bank, kernels)
    return None


def _resident(
    network: FrozenNetwork, fused: GpuBatch, most_rows: int, resident_bytes: int
) -> ResidentForward:
    preprocessing, device = network.manifest.preprocessing, network.device
    slots = TaskSlots(network.bank, network.statistics, resident_bytes, device)
    if slots.count < most_rows:
        raise ValueError(
            f"resident_bytes: expected room for the {most_rows} tasks that max_batch_rows can be "
            f"of, got {resident_bytes} bytes, which hold {slots.count}"
        )
    graphed = GraphedBatch(
        fused.under,
        slots,
        preprocessing.to_inputs,
        preprocessing.row_length,
        most_rows,
        device,
        graph_recorder(device),
    )
    return ResidentForward(network, "fused", graphed)


def mixed_forward_for(
    network: FrozenNetwork, told: ForwardPath, most_rows: int, resident_bytes: int
) -> MixedForward | None:
    """As `mixed_forward`, where the path that was told needs it.

    Raises `ValueError` where rows are always to mix and cannot.
    """
    mixed = None if told == "grouped" else mixed_forward(network, most_rows, resident_bytes)
    if told == "mixed" and mixed is None:
        bank = network.manifest.bank
        raise ValueError(
            "forward_path mixed: expected a bank whose rows can mix (disjoint masks, or at most "
            f"{_MOST_STACKED} that overlap), got {bank.size} masks of a {bank.kind} bank"
        )
    return mixed
