"""`impress-train report`, as a person meets it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from training.__main__ import app


def report(out: Path, *arguments: str) -> Result:
    sources = ("--mnist", "digits", "--fashion-mnist", "/none", "--cifar100", "/none")
    return CliRunner().invoke(app, ["report", "--out", str(out), *sources, *arguments])


def test_a_bound_that_is_not_held_ends_it_with_1_and_all_is_written(tmp_path: Path) -> None:
    missing = ("--mnist", "/none", "--only", "permuted", "--only", "rotated")
    result = report(tmp_path, *missing)
    assert result.exit_code == 1
    assert "does not hold: permuted mnist" in result.stderr
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["measured"] for claim in claims} == {None}
    assert {claim["holds"] for claim in claims} == {False}
    assert "no folder at /none" in (tmp_path / "report.md").read_text()


def test_a_study_that_there_is_not_is_refused_by_name(tmp_path: Path) -> None:
    result = report(tmp_path, "--only", "nothing")
    assert result.exit_code == 2
    assert "no study 'nothing'; there are: permuted, rotated" in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to ask for")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    result = report(tmp_path, "--device", "cuda")
    assert result.exit_code == 2
    assert "no CUDA device" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_report_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    sources = ("--mnist", "digits", "--fashion-mnist", "digits", "--cifar100", "/none")
    command = [sys.executable, "-m", "training", "report", "--out", str(tmp_path), *sources]
    process = subprocess.Popen(
        [*command, "--processes", "2", "--only", "permuted"], start_new_session=True
    )
    ledger = tmp_path / "measurements.jsonl"
    within(60, lambda: ledger.exists() and ledger.read_bytes().count(b"permuted") > 0)
    process.kill()
    process.wait()
    # All of them were of one session, and nothing else was.
    within(10, lambda: not processes_of_session(process.pid))


def within(seconds: float, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_of_session(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(folder.name)) == session:
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_the_belief_is_drawn_and_the_same_seed_makes_the_same_store(tmp_path: Path) -> None:
    only = ("--only", "belief", "--only", "store-hashes")
    result = report(tmp_path, *only)
    assert result.exit_code == 0, result.output
    (claim,) = [
        claim
        for claim in json.loads((tmp_path / "claims.json").read_text())
        if "differ" in claim["claim"]
    ]
    assert (claim["measured"], claim["holds"]) == (0, True)
    assert (tmp_path / "belief.png").read_bytes().startswith(b"\x89PNG")
    ledger = (tmp_path / "measurements.jsonl").read_bytes()
    assert report(tmp_path, *only).exit_code == 0
    assert (tmp_path / "measurements.jsonl").read_bytes() == ledger
