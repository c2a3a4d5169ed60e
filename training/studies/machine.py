"""On what a measurement was made, in one line. Names no host and no user."""

import platform
from pathlib import Path

import torch

from masked_network.devices import CPU
from training.run_records import environment

_PROCESSORS = Path("/proc/cpuinfo")


def machine_in_words(device: torch.device = CPU) -> str:
    """Any GPU, processor, cores, system, and the versions that a result may depend on."""
    found = environment(device)
    gpu = f"{found['device']} with " if device.type == "cuda" else ""
    return (
        f"{gpu}{_processor()}, {found['cpus']} cores, {found['system']}; Python {found['python']}, "
        f"torch {found['torch']}, numpy {found['numpy']}"
    )


def _processor() -> str:
    if _PROCESSORS.exists():
        for line in _PROCESSORS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
