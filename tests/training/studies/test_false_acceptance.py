"""The report's study of false acceptance, on a small data set."""

from dataclasses import replace
from pathlib import Path

import pytest

from masked_network.false_acceptance import most_strangeness
from training.studies.data import DataSets, Source
from training.studies.false_acceptance import FalseAcceptance, Strangers
from training.studies.ledger import Ledger
from training.studies.shared_learning import Tasks
from training.studies.study import Bench
from training.task_streams import TaskStream

PERMUTED, TURNED = TaskStream("permuted"), TaskStream("rotated", degrees=90.0)
STUDY = FalseAcceptance(
    "small",
    "Small stores",
    (Tasks("digits", PERMUTED, 2), Tasks("digits", TURNED, 2)),
    {"permuted": ((0,), ("others",)), "both": ((0, 1), ("others", "upside down"))},
    ("others",),
    {
        "others": (Strangers("digits", TaskStream("permuted", seed=1), (0, 1)),),
        "upside down": (Strangers("digits", TURNED, (2,)),),
    },
    images=600,
    rows=64,
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
    assert [claim.holds for claim in STUDY.section(there).claims] == [False] * 6
    STUDY.run(there, "small")
    assert sum("learned" in line for line in said) == 4
    assert said[-1] == "small: measured"
    return folder


def test_what_is_measured_is_not_measured_again(measured: Path) -> None:
    there, said = bench(measured)
    STUDY.run(there, "small")
    assert said == []
    assert "Not measured" not in STUDY.section(there).markdown


def test_page_has_a_line_for_each_store_rate_and_number_of_rows(measured: Path) -> None:
    section = STUDY.section(bench(measured)[0])
    for rows in (1, 2, 4, 16):
        for rate in (0.01, 0.05, 0.1, 0.2):
            limit = f"{most_strangeness(rate, rows):.2f}"
            for store in ("permuted", "both"):
                assert f"| {rows} | {store} | {rate} | {limit} |" in section.markdown
    assert section.machines == {"a machine of two cores"}


def test_what_is_claimed_is_the_worst_that_was_measured(measured: Path) -> None:
    section = STUDY.section(bench(measured)[0])
    lines = [line.strip("| ").split(" | ") for line in section.markdown.splitlines()]
    at = [line for line in lines if len(line) > 4 and line[2] == "0.1"]
    claims = {claim.claim: claim for claim in section.claims}
    worst = max(float(line[5].rstrip("%")) for line in at) / 100
    taken = claims["small: unrelated rows taken at a rate of 0.1"].measured
    assert taken == pytest.approx(worst, abs=6e-4)
    of_many = max(float(line[4].rstrip("%")) for line in at if line[0] == "16") / 100
    refused = claims["small: own refused at a rate of 0.1, rows: 16"].measured
    assert refused == pytest.approx(of_many, abs=6e-4)


def test_other_settings_are_another_measurement(measured: Path) -> None:
    other = replace(STUDY, rows=128)
    assert "Not measured" in other.section(bench(measured)[0]).markdown
