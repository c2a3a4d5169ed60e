"""Rows by what tasks keep, where it lies, have the bits of rows by the coefficients read of it."""

import numpy as np
import pytest
import torch

from masked_network.compiled import Kernels, compiled_kernels
from masked_network.fully_connected import FullyConnected
from masked_network.mask_bank import MaskBank
from masked_network.register_rows import MOST_ROWS, RegisterRows
from masked_network.signed_codes import one_plane_layers
from model_store.coefficient_reader import CoefficientReader
from model_store.coefficient_tensors import COEFFICIENTS, SCALES, Precision, quantised
from tests.mixed_batches import network_of

COMPILED = compiled_kernels()
WAYS = [COMPILED] if COMPILED is not None and COMPILED.permutes_bytes else []
OWNERS = np.array([0, 0, 1, 2, 2])

with_registers = pytest.mark.parametrize("kernels", WAYS, ids=["this machine"][: len(WAYS)])


def rows_over(kind: str, size: int, kernels: Kernels) -> tuple[RegisterRows, MaskBank]:
    with torch.device("meta"):
        backbone = FullyConnected((40,), 5, (30, 10))
    made = network_of(backbone, (40,), kind, size)
    rows = RegisterRows(one_plane_layers(made.weights, made.bank), kernels, made.bank)
    rows.inputs[:] = torch.randn(MOST_ROWS, 40).numpy()
    return rows, made.bank


@with_registers
@pytest.mark.parametrize(("kind", "size"), [("partition", 256), ("ranked", 64), ("random", 10)])
@pytest.mark.parametrize("precision", ["fp16", "int8", "int4", "int2"])
def test_what_tasks_keep_answers_as_what_is_read_of_it(
    kernels: Kernels, kind: str, size: int, precision: Precision
) -> None:
    rows, bank = rows_over(kind, size, kernels)
    reader = CoefficientReader(bank.used, kernels)
    tasks = [quantised(torch.randn(3, size), bank.used, precision) for _ in range(3)]
    together = {name: torch.stack([task[name] for task in tasks]) for name in tasks[0]}
    values, scales = together[COEFFICIENTS].numpy(), together.get(SCALES)
    expected = rows(reader.read(together).numpy(), OWNERS, rows.inputs[: len(OWNERS)])
    kept = reader.kept(values, None if scales is None else scales.numpy())
    scales_at = None if scales is None else [scales[task].data_ptr() for task in OWNERS]
    got = rows.of_kept(kept, [values[task].ctypes.data for task in OWNERS], scales_at)
    assert expected is not None
    assert got is not None
    assert np.array_equal(got, expected)


@with_registers
def test_bits_beyond_the_last_coefficient_have_no_answer(kernels: Kernels) -> None:
    rows, bank = rows_over("partition", 17, kernels)
    reader = CoefficientReader(bank.used, kernels)
    kept_tensors = quantised(torch.randn(3, 17), bank.used, "int4")
    values, scales = kept_tensors[COEFFICIENTS].numpy(), kept_tensors[SCALES].numpy()
    kept = reader.kept(values, scales)
    places = [values.ctypes.data], [scales.ctypes.data]
    assert rows.of_kept(kept, *places) is not None
    values[-1] |= 0xF0
    assert rows.of_kept(kept, *places) is None


@with_registers
def test_more_rows_and_tasks_of_other_layers_are_refused(kernels: Kernels) -> None:
    rows, bank = rows_over("partition", 16, kernels)
    values = torch.zeros(int(bank.used.sum()), dtype=torch.float16).numpy()
    kept = CoefficientReader(bank.used, kernels).kept(values, None)
    with pytest.raises(ValueError, match=f"at most {MOST_ROWS} rows of 48 coefficients, got 9"):
        rows.of_kept(kept, [values.ctypes.data] * (MOST_ROWS + 1), None)
    other, _ = rows_over("partition", 17, kernels)
    with pytest.raises(ValueError, match="of 51 coefficients, got 1 of 48"):
        other.of_kept(kept, [values.ctypes.data], None)
