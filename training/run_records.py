"""A run's folder: its options, its environment, and a line of measurements an epoch.

Names no host, no user and no place in the environment; the options are kept as they were given.
"""

import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from masked_network.devices import CPU
from model_store.files import LocalFolder
from training.errors import OptionError
from training.fitting import Epoch

CONFIG_FILE = "config.json"
ENVIRONMENT_FILE = "environment.json"
METRICS_FILE = "metrics.jsonl"

Metric = Mapping[str, str | int | float | None]
OnTaskEpoch = Callable[[str, Epoch], None]

_MAY_GROW = "tasks"
"""The one option that a later run may have more of: a stream goes on."""


class RunRecord:
    """The folder of one run, which a run with the same options may go on with."""

    def __init__(
        self, folder: Path, options: Mapping[str, object], device: torch.device = CPU
    ) -> None:
        """Raises `OptionError` where the folder is that of a run with other options."""
        files = LocalFolder(folder)
        config = _json({name: _plain(value) for name, value in options.items()})
        if CONFIG_FILE in files.names(""):
            _check_same(folder, json.loads(files.read(CONFIG_FILE)), json.loads(config))
        files.write(CONFIG_FILE, config)
        files.write(ENVIRONMENT_FILE, _json(environment(device)))
        self._metrics = folder / METRICS_FILE
        self._metrics.touch()
        with self._metrics.open("r+b") as file:
            # A run that was killed may have left a line without its end.
            file.truncate(file.read().rfind(b"\n") + 1)

    def epoch(self, task_id: str, epoch: Epoch) -> None:
        """Add a line, durably; a loss that is no number is null."""
        metric = {"task": task_id, **asdict(epoch)}
        if not math.isfinite(epoch.loss):
            metric["loss"] = None
        with self._metrics.open("ab") as file:
            file.write(json.dumps(metric).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def unrecorded() -> OnTaskEpoch:
    """A run that nobody asked to have recorded."""
    return lambda _, __: None


def begin_run(
    folder: Path | None,
    command: str | None,
    options: Mapping[str, object],
    device: torch.device,
) -> OnTaskEpoch:
    """What is to hear each epoch: the run's record, or nobody where no folder was asked for."""
    if folder is None:
        return unrecorded()
    return RunRecord(folder, {"command": command, **options}, device).epoch


def read_metrics(folder: Path) -> list[Metric]:
    """The lines of a run's measurements, in order; a torn last one is left out.

    An epoch that was measured twice, as the task in hand of a killed run is, counts as it was last.
    """
    path = folder / METRICS_FILE
    whole = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    measured: dict[tuple[object, object], Metric] = {}
    for line in whole:
        metric: Metric = json.loads(line)
        key = (metric["task"], metric["epoch"])
        measured.pop(key, None)
        measured[key] = metric
    return list(measured.values())


def environment(device: torch.device = CPU) -> dict[str, str | int]:
    """What a measurement on that device may depend on: versions, threads, the kind of machine."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count() or 0,
    }


def _check_same(folder: Path, found: Mapping[str, object], asked: Mapping[str, object]) -> None:
    for name in sorted(found.keys() | asked.keys()):
        if name != _MAY_GROW and found.get(name) != asked.get(name):
            raise OptionError(
                f"{folder} is the run with {name} {found.get(name)!r}, not {asked.get(name)!r}"
            )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
