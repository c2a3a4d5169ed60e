import json
from pathlib import Path

import numpy as np

from tests.client.commands.conftest import Impress, document
from tests.client.scripted_server import Say, problem, scripted, tensors

BRIEF = ("--seconds", "0.3", "--connections", "2")


def test_a_bench_counts_answers_and_their_percentiles(impress: Impress) -> None:
    found = document(impress("bench", *BRIEF, "--tasks", 3, "--rows", 2, "--json"))
    assert (found["tasks"], found["rows_per_request"]) == (3, 2)
    assert found["answered"] > 0
    assert found["failed"] == {}
    times = found["latency_ms"]
    assert 0 < times["p50"] <= times["p99"] <= times["max"]


def test_at_a_rate_requests_are_due_whether_or_not_others_are_answered(impress: Impress) -> None:
    result = impress("bench", *BRIEF, "--rate", 50, "--json", "--task", "task-3")
    found = json.loads(result.stdout)
    assert found["rate_asked"] == 50
    assert 0 < found["answered"] + found["never_sent"] < 60


def test_a_sample_is_what_is_sent(impress: Impress, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((4, 20), np.float32))
    told = impress("bench", *BRIEF, "--rows", 4, "--sample", tmp_path / "rows.npy")
    assert told.exit_code == 0
    assert " answers in " in told.stdout
    assert "p99.9" in told.stdout


def test_failed_requests_are_counted_not_repeated_and_end_with_one(impress: Impress) -> None:
    ahead = [tensors(np.ones((1, 1), np.float32), ["ant"])] * 6
    with scripted(
        Say(body={"inputs": [{"shape": [-1, 20]}]}), *ahead, problem(503, "queue full")
    ) as server:
        result = impress("bench", *BRIEF, "--task", "t", "--url", server.url, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    # Three were the bench's own: whether the task answers, and one to open each connection.
    assert found["answered"] == 3
    assert found["failed"] == {"Unavailable": len(server.asked) - 7}


def test_a_bench_of_nothing_is_refused(impress: Impress) -> None:
    with scripted(Say(body={"tasks": [], "next_cursor": None})) as server:
        result = impress("bench", *BRIEF, "--url", server.url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "push one first" in result.stderr
    assert impress("bench", *BRIEF, "--task", "nobody").exit_code == 3
