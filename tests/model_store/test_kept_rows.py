"""Rows by what tasks keep, where it lies, have the bits of rows by the coefficients read of it."""

import sys

import numpy as np
import pytest
import torch

from masked_network.compiled import Kernels
from masked_network.fully_connected import FullyConnected
from masked_network.fused_batch import FusedBatch
from masked_network.lane_rows import LaneRows
from masked_network.mixed_batch import MixedBatch
from masked_network.register_rows import RegisterRows
from model_store.coefficient_reader import CoefficientReader
from model_store.coefficient_tensors import COEFFICIENTS, SCALES, Precision, quantised
from tests.kernel_ways import compiled_way
from tests.mixed_batches import Network, network_of


def network(kind: str, size: int, groups: int = 1) -> Network:
    with torch.device("meta"):
        backbone = FullyConnected((40,), 5, (30, 10))
    return network_of(backbone, (40,), kind, size, groups)


def fused(network: Network, kernels: Kernels) -> FusedBatch:
    return FusedBatch(network.backbone, network.weights, network.bank, kernels)


def ways_of(batch: FusedBatch) -> list[RegisterRows | LaneRows]:
    assert batch.kept_rows is not None
    return [way for way in (batch.few_rows, batch.kept_rows) if way is not None]


@compiled_way
@pytest.mark.parametrize(
    ("kind", "size", "groups"),
    [
        *(("partition", 256, 1), ("partition", 64, 3), ("root", 1000, 1), ("ranked", 64, 1)),
        *(("random", 3, 1), ("random", 10, 1), ("random", 12, 1), ("random", 3, 2)),
        ("atoms", 5, 1),
    ],
)
@pytest.mark.parametrize("precision", ["fp16", "int8", "int4", "int2"])
def test_what_tasks_keep_answers_as_what_is_read_of_it(
    kernels: Kernels, kind: str, size: int, groups: int, precision: Precision
) -> None:
    made = network(kind, size, groups)
    used, origin = made.bank.used, made.bank.origin
    reader, batch = CoefficientReader(used, kernels), fused(made, kernels)
    tasks = [quantised(torch.randn(used.shape), used, precision) for _ in range(40)]
    together = {name: torch.stack([task[name] for task in tasks]) for name in tasks[0]}
    values, scales = together[COEFFICIENTS].numpy(), together.get(SCALES)
    kept = reader.kept(values, None if scales is None else scales.numpy())
    coefficients = reader.read(together)
    whole = coefficients if origin is None else coefficients + origin
    owners = [task for task, rows in enumerate([1, 2, 1, 3, *[1] * 36]) for _ in range(rows)]
    for way in ways_of(batch):
        for rows in (1, 3, 5, 9, 17, 43):
            if rows > min(way.most_rows, len(way.inputs)):
                continue
            of_rows = owners[:rows]
            way.inputs[:rows] = torch.randn(rows, 40).numpy()
            scales_at = None if scales is None else [scales[task].data_ptr() for task in of_rows]
            got = way.of_kept(kept, [values[task].ctypes.data for task in of_rows], scales_at)
            if got is None:
                assert (isinstance(way, RegisterRows), made.bank.size > 256) == (True, True)
                continue
            inputs = torch.from_numpy(way.inputs[:rows].copy())
            mixed = MixedBatch(whole, torch.tensor(of_rows))
            assert np.array_equal(got, batch(mixed, inputs).numpy())


@compiled_way
def test_bits_beyond_the_last_coefficient_have_no_answer(kernels: Kernels) -> None:
    made = network("partition", 17)
    reader = CoefficientReader(made.bank.used, kernels)
    kept_tensors = quantised(torch.randn(3, 17), made.bank.used, "int4")
    values, scales = kept_tensors[COEFFICIENTS].numpy(), kept_tensors[SCALES].numpy()
    kept = reader.kept(values, scales)
    places = [values.ctypes.data], [scales.ctypes.data]
    for way in ways_of(fused(made, kernels)):
        values[-1] &= 0x0F
        assert way.of_kept(kept, *places) is not None
        values[-1] |= 0xF0
        assert way.of_kept(kept, *places) is None


@compiled_way
def test_more_rows_and_tasks_of_other_layers_are_refused(kernels: Kernels) -> None:
    made, other = network("partition", 16), network("partition", 17)
    values = torch.zeros(int(made.bank.used.sum()), dtype=torch.float16).numpy()
    kept = CoefficientReader(made.bank.used, kernels).kept(values, None)
    for way in ways_of(fused(made, kernels)):
        with pytest.raises(ValueError, match=r"rows of 48 coefficients, got 65 of 48"):
            way.of_kept(kept, [values.ctypes.data] * 65, None)
    for way in ways_of(fused(other, kernels)):
        with pytest.raises(ValueError, match=r"of 51 coefficients, got 1 of 48"):
            way.of_kept(kept, [values.ctypes.data], None)


@compiled_way
def test_tables_of_very_many_codes_are_left_to_others(kernels: Kernels) -> None:
    assert fused(network("partition", 9000), kernels).kept_rows is None


@compiled_way
def test_rows_that_threads_share_out_are_left_to_them(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        kept_rows = fused(network("partition", 16), kernels).kept_rows
        assert kept_rows is not None
        most.append(kept_rows.most_rows)
    assert most == [sys.maxsize, kernels.lanes]
