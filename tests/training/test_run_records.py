"""What a run's folder keeps, and that a killed run can go on with it."""

import json
import math
from pathlib import Path

import pytest

from masked_network.devices import CPU
from training.errors import OptionError
from training.fitting import Epoch
from training.run_records import METRICS_FILE, RunRecord, begin_run, environment, read_metrics

OPTIONS = {"command": "stream", "store": Path("store"), "tasks": 2, "epochs": 3}


def test_every_option_and_every_epoch_is_kept(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "run", OPTIONS)
    record.epoch("a", Epoch(1, 2.5, 0.5, 0.25))
    record.epoch("b", Epoch(1, math.nan, 0.1, 0.25))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config == {"command": "stream", "store": "store", "tasks": 2, "epochs": 3}
    line = {"task": "a", "epoch": 1, "loss": 2.5, "held_out_accuracy": 0.5, "seconds": 0.25}
    assert read_metrics(tmp_path / "run") == [
        line,
        line | {"task": "b", "loss": None, "held_out_accuracy": 0.1},
    ]


def test_a_torn_last_line_is_left_out_and_the_next_run_writes_whole_ones(tmp_path: Path) -> None:
    RunRecord(tmp_path, OPTIONS).epoch("a", Epoch(1, 1.0, 0.5, 0.1))
    with (tmp_path / METRICS_FILE).open("ab") as file:
        file.write(b'{"task": "a", "epo')
    assert len(read_metrics(tmp_path)) == 1
    again = RunRecord(tmp_path, OPTIONS)
    again.epoch("a", Epoch(1, 1.0, 0.75, 0.1))
    again.epoch("a", Epoch(2, 0.5, 0.8, 0.1))
    lines = (tmp_path / METRICS_FILE).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 1, 2]
    assert [metric["held_out_accuracy"] for metric in read_metrics(tmp_path)] == [0.75, 0.8]


def test_a_folder_of_another_run_is_refused_but_a_stream_may_grow(tmp_path: Path) -> None:
    RunRecord(tmp_path, OPTIONS)
    RunRecord(tmp_path, OPTIONS | {"tasks": 5})
    with pytest.raises(OptionError, match="the run with epochs 3, not 4"):
        RunRecord(tmp_path, OPTIONS | {"epochs": 4})


def test_the_environment_names_no_host_and_no_place() -> None:
    found = environment()
    assert set(found) == {
        "python",
        "torch",
        "numpy",
        "threads",
        "system",
        "machine",
        "cpus",
        "device",
    }
    assert not any("/" in str(value) for value in found.values())


def test_nobody_hears_a_run_without_a_folder() -> None:
    begin_run(None, "stream", OPTIONS, CPU)("a", Epoch(1, 1.0, 0.5, 0.1))


def test_a_folder_without_measurements_has_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
