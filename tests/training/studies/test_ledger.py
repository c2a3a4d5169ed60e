"""What is in the ledger is not measured again, however the run before ended."""

from pathlib import Path

import pytest

from training.studies.ledger import LEDGER_FILE, Ledger

RECIPE = {"epochs": 8, "learning_rate": 0.2}
ASKED = {"study": "permuted", "recipe": RECIPE}


def test_what_was_asked_for_is_found_again_and_nothing_else(tmp_path: Path) -> None:
    Ledger(tmp_path, "a machine").add(ASKED, {"accuracy": 0.9})
    found = Ledger(tmp_path, "another machine").find(ASKED)
    assert found is not None
    assert (found.got, found.machine) == ({"accuracy": 0.9}, "a machine")


@pytest.mark.parametrize("changed", [{"epochs": 9}, {"learning_rate": 0.1}, {"seed": 1}])
def test_a_changed_setting_is_measured_anew(tmp_path: Path, changed: dict[str, float]) -> None:
    ledger = Ledger(tmp_path, "a machine")
    ledger.add(ASKED, {"accuracy": 0.9})
    assert ledger.find({"study": "permuted", "recipe": {**RECIPE, **changed}}) is None


def test_a_torn_line_is_dropped_and_spoils_none_after_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "a machine")
    ledger.add({"task": 0}, {"accuracy": 0.9})
    ledger.add({"task": 1}, {"accuracy": 0.8})
    file = tmp_path / LEDGER_FILE
    file.write_bytes(file.read_bytes()[:-20])
    after = Ledger(tmp_path, "a machine")
    assert after.find({"task": 0}) is not None
    assert after.find({"task": 1}) is None
    after.add({"task": 2}, {"accuracy": 0.7})
    again = Ledger(tmp_path, "a machine")
    assert [again.find({"task": task}) is not None for task in range(3)] == [True, False, True]


def test_two_processes_add_to_one_ledger(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path, "a machine"), Ledger(tmp_path, "a machine")
    for task in range(20):
        (first, second)[task % 2].add({"task": task}, {"accuracy": 0.9})
    assert first.find({"task": 1}) is None
    first.read()
    assert all(first.find({"task": task}) for task in range(20))
