"""A study on a small data set: measured once, told from the ledger alone."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from masked_network.devices import CPU
from tests.stand_in_device import STAND_IN, stand_in_device
from training.studies.claims import Claim, at_least
from training.studies.data import DataSets, Source
from training.studies.learning_study import LearningStudy, Planned
from training.studies.ledger import LEDGER_FILE, Ledger
from training.studies.measurement import Measurement, mean
from training.studies.methods import partition, ranked, tuned_mask
from training.studies.page import page
from training.studies.study import Bench
from training.task_streams import TaskStream

STREAM = TaskStream("permuted")
MASK = replace(tuned_mask(1), rates=(3e-3,))
COEFFICIENTS = partition(1, 64, "fp16", rates=(1e-9, 0.2))


def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
    accuracy = mean(lambda one: one.accuracy, measured)
    return [at_least(f"accuracy on {data}", accuracy, 0.0, "share")]


STUDY = LearningStudy(
    "small",
    "A small study",
    "What is measured.",
    ("digits",),
    STREAM,
    ((STREAM, 1_000_000),),
    (Planned(MASK, (0,)), Planned(COEFFICIENTS, (0,), (0, 1))),
    claims,
)


def bench(folder: Path, source: str = "digits") -> tuple[Bench, list[str]]:
    said: list[str] = []
    ledger = Ledger(folder, "a machine of two cores")
    data = DataSets({"digits": Source(source)}, ledger)
    return Bench(folder, ledger, data, said.append), said


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report's folder after one run of the study."""
    folder = tmp_path_factory.mktemp("report")
    there, said = bench(folder)
    STUDY.run(there, "digits")
    assert len(said) == 2 + 1 + 2  # two rates tried, a mask, and coefficients of two seeds
    return folder


SHARE = """
import sys
from pathlib import Path
from tests.training.studies.test_learning_study import STUDY, bench
STUDY.run(bench(Path(sys.argv[1]))[0], "digits")
"""


def lines(folder: Path) -> list[dict[str, dict[str, object]]]:
    return [json.loads(line) for line in (folder / LEDGER_FILE).read_text().splitlines()]


def test_what_is_measured_is_not_measured_again(measured: Path) -> None:
    there, said = bench(measured)
    STUDY.run(there, "digits")
    assert said == []


def test_a_run_that_was_killed_goes_on_with_what_is_missing(measured: Path, tmp_path: Path) -> None:
    whole = (measured / LEDGER_FILE).read_bytes()
    (tmp_path / LEDGER_FILE).write_bytes(whole[:-30])
    there, said = bench(tmp_path)
    STUDY.run(there, "digits")
    assert len(said) == 1
    before, after = (Ledger(folder, "any") for folder in (measured, tmp_path))
    asked = lines(measured)[-1]["asked"]
    first, again = (ledger.find(asked) for ledger in (before, after))
    assert first is not None
    assert again is not None
    assert {**first.got, "seconds": 0} == {**again.got, "seconds": 0}


def test_two_processes_share_a_part_and_measure_nothing_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARE, str(tmp_path)]
    others = [subprocess.Popen(command) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    jobs = [line["asked"] for line in lines(tmp_path) if "purpose" in line["asked"]]
    assert len(jobs) == 2 + 1 + 2
    assert len({json.dumps(asked, sort_keys=True) for asked in jobs}) == len(jobs)
    there, _ = bench(tmp_path)
    assert STUDY.finished(there, "digits")
    more = replace(STUDY, plan=(*STUDY.plan, Planned(MASK, (1,))))
    assert not more.finished(there, "digits")


def test_tasks_are_learned_on_the_benchs_device_and_come_out_alike(tmp_path: Path) -> None:
    method = ranked(1, 16, "int4", TaskStream("permuted", seed=1), 1, rates=(0.1,))
    study = replace(STUDY, choosing=(), plan=(Planned(method, (0,)),))
    with stand_in_device() as other:
        for device in (CPU, STAND_IN):
            there, _ = bench(tmp_path / device.type)
            study.run(replace(there, device=device), "digits")
        assert any(tensor.dtype == torch.uint8 for tensor in other.moved)
    here, elsewhere = (lines(tmp_path / device.type)[-1]["got"] for device in (CPU, STAND_IN))
    assert {**here, "seconds": 0} == {**elsewhere, "seconds": 0}


def test_held_out_data_choose_the_rate_and_test_data_are_not_read_for_it(measured: Path) -> None:
    jobs = [line for line in lines(measured) if "purpose" in line["asked"]]
    choosing = [line for line in jobs if line["asked"]["purpose"] == "choosing"]
    assert len(choosing) == 2
    assert {line["got"]["test_accuracy"] for line in choosing} == {None}
    there, _ = bench(measured)
    markdown = STUDY.section(there).markdown
    assert f"| {COEFFICIENTS.name} | 0.2 |" in markdown


def test_the_page_names_machine_data_seeds_and_spread(measured: Path) -> None:
    there, _ = bench(measured)
    section = STUDY.section(there)
    text = page(False, {STUDY.title: section}, there.data)
    assert "a machine of two cores" in text
    assert "1,078 to learn from, 360 held out, 359 to test" in text
    assert "seeds 0, 1" in text
    assert "spread is the standard deviation" in text
    assert "| accuracy on digits |" in text
    for name, png in section.figures.items():
        assert f"({name})" in text
        assert png.startswith(b"\x89PNG")


def test_more_tasks_than_are_measured_are_claimed_of_none(measured: Path) -> None:
    there, _ = bench(measured)
    more = replace(STUDY, plan=(*STUDY.plan, Planned(MASK, (1,))))
    section = more.section(there)
    assert "Measured so far: 3 of 4" in section.markdown
    assert [(claim.measured, claim.holds) for claim in section.claims] == [(None, False)]
    assert STUDY.section(there).claims[0].holds


def test_data_that_cannot_be_had_are_said_and_their_claims_do_not_hold(tmp_path: Path) -> None:
    there, said = bench(tmp_path, "/no/such/folder")
    STUDY.run(there, "digits")
    section = STUDY.section(there)
    assert said == []
    assert [(claim.measured, claim.holds) for claim in section.claims] == [(None, False)]
    assert "no folder at" in section.markdown
    assert "no folder at" in page(False, {STUDY.title: section}, there.data)


def test_a_rate_is_chosen_once_for_methods_that_differ_in_nothing_else(tmp_path: Path) -> None:
    there, said = bench(tmp_path)
    shorter = replace(COEFFICIENTS, name="of fewer epochs", rates=(), rate_of=COEFFICIENTS)
    study = replace(STUDY, plan=(Planned(COEFFICIENTS, (0,)), Planned(shorter, (0, 1))))
    study.run(there, "digits")
    assert len(said) == 2 + 1 + 2
    section = study.section(there)
    assert "Tasks 0, 1;" in section.markdown
