"""The report's study of which task rows belong to, on a small data set."""

from dataclasses import replace
from pathlib import Path

import pytest

from training.recognition_trials import ROW_COUNTS, TrialRows
from training.studies.data import DataSets, Source
from training.studies.ledger import LEDGER_FILE, Ledger
from training.studies.recognition import Recognition
from training.studies.recognition_page import Bounds
from training.studies.shared_learning import Tasks
from training.studies.study import Bench, Divisible
from training.task_streams import TaskStream

PERMUTED, OTHERS = TaskStream("permuted"), TaskStream("permuted", seed=1)
STUDY = Recognition(
    "small",
    "Small tasks",
    (Tasks("digits", PERMUTED, 3),),
    (Tasks("digits", OTHERS, 2),),
    Bounds({"16": 0.9}, {"16": -1.0}, refuses=True),
    epochs=6,
    rows=TrialRows(256, 128),
    mask_probes=2,
)


def bench(folder: Path) -> tuple[Bench, list[str]]:
    said: list[str] = []
    ledger = Ledger(folder, "a machine of two cores")
    data = DataSets({"digits": Source("digits")}, ledger)
    return Bench(folder, ledger, data, said.append), said


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    there, said = bench(folder)
    assert [claim.holds for claim in STUDY.section(there).claims] == [False] * 8
    assert not STUDY.finished(there, "small")
    STUDY.run(there, "small")
    assert sum("learned" in line for line in said) == 2 * 3
    assert sum("measured" in line for line in said) == 2
    return folder


def test_what_is_measured_is_not_measured_again(measured: Path) -> None:
    there, said = bench(measured)
    STUDY.run(there, "small")
    assert said == []
    assert isinstance(STUDY, Divisible)
    assert STUDY.finished(there, "small")


def test_a_run_that_was_killed_goes_on_with_the_tasks_that_it_had(
    measured: Path, tmp_path: Path
) -> None:
    whole = (measured / LEDGER_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / LEDGER_FILE).write_bytes(b"".join(whole[:-2]))
    (tmp_path / "stores").symlink_to(measured / "stores")
    there, said = bench(tmp_path)
    STUDY.run(there, "small")
    assert said == ["small, coefficients: measured", "small, masks: measured"]
    before = STUDY.section(bench(measured)[0])
    assert STUDY.section(there).markdown == before.markdown


def test_page_tells_of_every_way_and_number_of_rows(measured: Path) -> None:
    section = STUDY.section(bench(measured)[0])
    for way in ("entropy", "evidence", "auto", "masks: one-shot H", "masks: binary H"):
        assert f"| {way} |" in section.markdown
    for count in ROW_COUNTS:
        assert f"| {count} | auto |" in section.markdown
    for kind in ("registered", "unregistered", "noise", "empty"):
        assert kind in section.markdown
    assert set(section.figures) == {"small-named.png", "small-reliability.png"}
    assert section.machines == {"a machine of two cores"}


def test_claims_are_of_what_was_measured(measured: Path) -> None:
    claims = {claim.claim: claim for claim in STUDY.section(bench(measured)[0]).claims}
    named = claims["small: auto names the task from 16 rows"]
    assert named.holds
    assert named.measured is not None
    assert named.measured > 0.9
    assert claims["small: from 16 rows, refused of unregistered"].holds
    assert claims["small: evidence of a task"].measured == 351


def test_other_settings_are_another_measurement(measured: Path) -> None:
    assert not replace(STUDY, epochs=2).finished(bench(measured)[0], "small")
