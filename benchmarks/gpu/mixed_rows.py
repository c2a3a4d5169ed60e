"""Rows of as many tasks, against rows of one task whose weights are at hand."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from benchmarks.gpu.networks import DeviceNetwork
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import device_seconds, waited_seconds
from masked_network.backbones import forward
from masked_network.gpu_batch import GpuBatch
from masked_network.gpu_composition import GpuComposition
from masked_network.gpu_kernels import GpuKernels
from masked_network.mixed_batch import MixedBatch
from training.studies.claims import at_least

_ROWS = 64
_CLAIMED = "lenet-300-100"
_LEAST_THROUGHPUT = 0.2


def mixed(report: Report, kernels: GpuKernels, network: DeviceNetwork) -> None:
    """A row of each of 64 tasks, against 64 of one whose weights are at hand."""
    batch, inputs = network.batch(_ROWS, _ROWS)
    one_pass = GpuComposition(network.weights, network.bank, kernels)
    fused = GpuBatch(network.backbone, network.weights, network.bank, kernels)
    own = [{name: values[task] for name, values in batch.statistics.items()} for task in range(2)]
    resident = one_pass(batch.coefficients[0]) | own[0]
    one = MixedBatch(
        batch.coefficients[:1],
        torch.zeros_like(batch.task_of_row[:1]),
        {name: values[:1] for name, values in batch.statistics.items()},
    )
    ways: Mapping[str, Callable[[], object]] = {
        "64 rows of one task, its weights at hand": partial(
            forward, network.backbone, resident, inputs
        ),
        "64 rows of 64 tasks, fused": partial(fused, batch, inputs),
        "1 row, fused": partial(fused, one, inputs[:1]),
        "1 row, composed and forward": lambda: forward(
            network.backbone, one_pass(batch.coefficients[0]) | own[0], inputs[:1]
        ),
        "64 rows of one task, composed and forward": lambda: forward(
            network.backbone, one_pass(batch.coefficients[0]) | own[0], inputs
        ),
    }
    waited = {}
    for way, run in ways.items():
        waited[way] = waited_seconds(run)
        alone = device_seconds(run, 4)
        report.line(f"{network.name}: {way}: {1e6 * alone:.0f} us, {1e6 * waited[way]:.0f} waited")
    resident_seconds, fused_seconds, *_ = waited.values()
    share = round(resident_seconds / fused_seconds, 3)
    report.line(f"{network.name}: fused has {share} of the throughput of one task's rows")
    if network.name == _CLAIMED:
        claim = f"{network.name}, partition of 256: fused, against one task's rows"
        report.claims.append(at_least(claim, share, _LEAST_THROUGHPUT, "of the throughput"))
