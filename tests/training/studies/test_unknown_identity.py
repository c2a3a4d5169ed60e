"""The report's run of SupSup's experiment, on a small data set."""

from pathlib import Path

from training.studies.data import DataSets, Source
from training.studies.ledger import Ledger
from training.studies.study import Bench
from training.studies.unknown_identity import UnknownIdentityStudy


def test_unknown_identity_is_measured_once_and_told_from_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "a machine")
    said: list[str] = []
    data = DataSets({"mnist": Source("digits")}, ledger)
    bench = Bench(tmp_path, ledger, data, said.append)
    study = UnknownIdentityStudy(tasks=2, batches=1)
    assert [claim.holds for claim in study.section(bench).claims] == [False, False]
    study.run(bench, "mnist")
    study.run(bench, "mnist")
    assert len(said) == 1
    section = study.section(bench)
    assert "| given |" in section.markdown
    assert "94.91 %" in section.markdown
    named, right = section.claims
    assert named.measured is not None
    assert right.measured is not None
    assert right.measured <= named.measured
