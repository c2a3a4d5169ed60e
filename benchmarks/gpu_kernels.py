"""What the Triton kernels take on a GPU, against what copying takes there; all in one run.

First they are held against fp64. Without a GPU it says so and claims nothing. It needs torch,
triton and numpy alone, and less than a minute.
"""

import argparse
import sys
from functools import partial

import torch

from benchmarks.gpu.composing import composing, tuning
from benchmarks.gpu.exactness import correctness
from benchmarks.gpu.mixed_rows import mixed
from benchmarks.gpu.networks import LARGE, device_network
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import copy_bandwidth
from masked_network.gpu_kernels import GpuKernels, gpu_kernels
from training.studies.claims import claims_json

_SIZES = (16, 256, 1024)
_CHECKED = ("lenet-300-100", "resnet-18-small")
_COMPOSED = ("lenet-300-100", "resnet-18", "resnet-50", LARGE)
_MIXED = ("lenet-300-100", "fc-1024-1024", "resnet-18-small", LARGE)
_MOST_SECONDS, _TUNING_SECONDS = 50.0, 240.0


def main() -> int:
    """Measure, print, and say in the exit status whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true", help="Try other sizes of a block.")
    tune = parser.parse_args().tune
    if not torch.cuda.is_available():
        print("no CUDA device: nothing is measured\n[\n]")
        return 0
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # it has
    device = torch.device("cuda", torch.cuda.current_device())
    name = torch.cuda.get_device_name(device)
    print(f"{name}, torch {torch.__version__}", flush=True)
    report = Report(_TUNING_SECONDS if tune else _MOST_SECONDS)
    kernels = gpu_kernels(device)
    if kernels is None:
        report.failed.append("triton, which cannot be imported or compiles nothing here")
    else:
        measure(report, kernels, device, tune)
    print(f"\n{name}\n" + "\n".join(report.lines))
    for section in report.failed:
        print(f"failed: {section}")
    print(claims_json(report.claims).decode(), end="")
    return 1 if report.failed or not all(claim.holds for claim in report.claims) else 0


def measure(report: Report, kernels: GpuKernels, device: torch.device, tune: bool) -> None:
    """Every section, whatever becomes of the others."""
    bandwidth = 0.0

    def check(name: str, masks: int, overlapping: bool = False) -> None:
        correctness(report, kernels, device_network(name, masks, device, overlapping))

    def copy() -> None:
        nonlocal bandwidth
        bandwidth = copy_bandwidth(device)
        report.line(f"copying: {bandwidth / 1e9:.0f} GB/s, read and written")

    def made(name: str, masks: int, overlapping: bool = False) -> None:
        network = device_network(name, masks, device, overlapping)
        composing(report, kernels, network, bandwidth)

    def answered(name: str) -> None:
        mixed(report, kernels, device_network(name, 256, device))

    def tuned() -> None:
        tuning(report, kernels, device_network(LARGE, 256, device), bandwidth)

    for masks in _SIZES:
        for name in _CHECKED:
            report.section(f"correctness, {name}, {masks}", partial(check, name, masks))
    report.section("correctness, overlapping", partial(check, "lenet-300-100", 20, True))
    report.section("copying", copy)
    for name in _COMPOSED:
        for masks in _SIZES:
            report.section(f"composing, {name}, {masks}", partial(made, name, masks))
    report.section("composing, overlapping", partial(made, "resnet-50", 64, True))
    for name in _MIXED:
        report.section(f"mixed, {name}", partial(answered, name))
    if tune:
        report.section("tuning", tuned)


if __name__ == "__main__":
    sys.exit(main())
