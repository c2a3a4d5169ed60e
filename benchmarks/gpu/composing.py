"""Bytes a second that composing reads and writes, as a share of what copying does."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from benchmarks.gpu.networks import LARGE, DeviceNetwork
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import device_seconds, waited_seconds
from masked_network.composition import compose
from masked_network.gpu_composition import GpuComposition
from masked_network.gpu_kernels import GpuKernels
from masked_network.one_pass_composition import COMPOSED_DTYPES
from training.studies.claims import at_least

_CLAIMED = ("resnet-50", LARGE)
_LEAST_SHARE = 0.7
_LAUNCH_BOUND = 1_000_000
_WRITTEN_BETWEEN = 1 << 29
"""Bytes after which nothing of the first composition is in a cache."""
_MOST_CALLS = 50


def composing(
    report: Report, kernels: GpuKernels, network: DeviceNetwork, bandwidth: float
) -> None:
    """Bytes a second of composing, as a share of copying's."""
    one_pass = GpuComposition(network.weights, network.bank, kernels)
    coefficients = network.batch(1, 1)[0].coefficients[0]
    kind_of_bank, masks = network.bank.kind, network.bank.size
    of = f"{network.name} ({network.size / 1e6:.1f}M), {kind_of_bank} of {masks}"
    for kind, dtype in COMPOSED_DTYPES.items():
        run = partial(one_pass, coefficients, kind)
        share, line = share_of_copying(run, one_pass, network.size * dtype.itemsize, bandwidth)
        note = "; launching is what it takes" if network.size < _LAUNCH_BOUND else ""
        report.line(f"composing {of}, {kind}: {line}{note}")
        if network.name in _CLAIMED and (kind_of_bank, masks) == ("partition", 256):
            claim = f"composing {of}, {kind}, against copying"
            report.claims.append(at_least(claim, round(share, 3), _LEAST_SHARE, "of the bandwidth"))
    if masks == 256:
        by_torch = partial(compose, network.weights, network.bank, coefficients)
        report.line(f"composing {of} by torch: {1e6 * waited_seconds(by_torch, 10):.0f} us waited")


def share_of_copying(
    run: Callable[[], object], one_pass: GpuComposition, written: int, bandwidth: float
) -> tuple[float, str]:
    """What it came to, and in words."""
    calls = max(1, min(_MOST_CALLS, _WRITTEN_BETWEEN // written))
    seconds, waited = device_seconds(run, calls), waited_seconds(run, 10)
    rate = (one_pass.codes_byte_size + written) / seconds
    share = rate / bandwidth
    us = f"{1e6 * seconds:.1f} us, {1e6 * waited:.0f} waited"
    return share, f"{us}, {rate / 1e9:.0f} GB/s, {share:.2f} of copying"


def tuning(report: Report, kernels: GpuKernels, network: DeviceNetwork, bandwidth: float) -> None:
    """The same composition by other blocks and as many warps."""
    coefficients = network.batch(1, 1)[0].coefficients[0]
    for block in (512, 1024, 2048, 4096):
        for warps in (2, 4, 8):
            other = replace(kernels, warps=warps)
            one_pass = GpuComposition(network.weights, network.bank, other, block)
            for kind in ("fp32", "bf16"):
                written = network.size * COMPOSED_DTYPES[kind].itemsize
                run = partial(one_pass, coefficients, kind)
                _, line = share_of_copying(run, one_pass, written, bandwidth)
                report.line(f"blocks of {block}, {warps} warps, {kind}: {line}")
