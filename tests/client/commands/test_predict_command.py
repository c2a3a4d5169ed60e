import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.blocking import Client
from tests.client.commands.conftest import Impress, document
from tests.client.scripted_server import Say, problem, scripted, tensors
from tests.real_parts import free_port

ROWS = np.random.default_rng(3).random((3, 20), dtype=np.float32)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps({"task": "task-1", "inputs": ROWS.tolist()}))
    return path


def test_a_sample_is_predicted_on_by_the_task_it_names(
    impress: Impress, service_url: str, sample: Path
) -> None:
    with Client(service_url) as client:
        expected = client.predict(ROWS, "task-1")
    found = document(impress("predict", sample, "--json"))
    assert (found["task"], tuple(found["labels"])) == ("task-1", expected.labels)
    assert found["probabilities"] == pytest.approx(expected.probabilities)
    told = impress("predict", sample).stdout.splitlines()
    assert told[0] == f"{sample}: task-1"
    assert [line.split()[1] for line in told[2:]] == list(expected.labels)


def test_the_task_of_the_command_line_counts_more_than_the_files(
    impress: Impress, sample: Path
) -> None:
    assert document(impress("predict", sample, "--task", "task-2", "--json"))["task"] == "task-2"


def test_a_version_of_the_task_can_be_named(
    impress: Impress, service_url: str, sample: Path
) -> None:
    with Client(service_url) as client:
        live = client.show("task-1").version
    assert document(impress("predict", sample, "--version", live, "--json"))["version"] == live
    assert impress("predict", sample, "--version", "0" * 64).exit_code == 3


def test_a_picture_and_raw_numbers_are_predicted_on_without_a_task(
    impress: Impress, tmp_path: Path
) -> None:
    picture, raw = tmp_path / "picture.png", tmp_path / "rows.f32"
    Image.new("L", (5, 4), 99).save(picture)
    raw.write_bytes(ROWS.tobytes())
    first, second = document(impress("predict", picture, raw, "--json"))
    assert (first["file"], second["file"]) == (str(picture), str(raw))
    assert len(first["prediction"]["labels"]) == 1
    assert len(second["prediction"]["labels"]) == 3
    assert second["prediction"]["inference"]["candidates"]
    told = impress("predict", picture).stdout
    assert "(inferred: leads by " in told
    assert "entropy in nats" in told


def test_where_the_service_abstains_the_status_is_one(impress: Impress, sample: Path) -> None:
    inference = {"method": "short-list", "entropy_nats": 1, "margin_nats": 0.1, "abstained": True}
    answer = {"task": None, "version": None, "predictions": None, "inference": inference}
    sample.write_text(json.dumps(ROWS.tolist()))
    with scripted(Say(body=answer)) as server:
        told = impress("predict", sample, "--url", server.url)
    assert told.exit_code == 1
    assert "no task fits clearly enough: the best leads by 0.100 nats only" in told.stdout
    assert "name it with --task" in told.stdout


def test_a_label_does_not_command_the_terminal(impress: Impress, sample: Path) -> None:
    with scripted(tensors(np.ones((3, 1), np.float32), ["\x1b[2Jant\n"] * 3)) as server:
        told = impress("predict", sample, "--url", server.url).stdout
    assert "\\x1b[2Jant\\n" in told
    assert "\x1b" not in told


def test_a_server_that_is_away_is_said_in_a_sentence(impress: Impress, sample: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    away = impress("predict", sample, "--url", url)
    assert away.exit_code == 4
    first, hint = away.stderr.splitlines()
    assert first.startswith(f"error: no connection to {url}: ")
    assert hint == "hint: impress doctor says what is wrong"
    said = json.loads(impress("predict", sample, "--url", url, "--json").stderr)
    assert said["kind"] == "ServerAway"


@pytest.mark.parametrize(
    ("status", "expected"), [(401, 3), (403, 3), (404, 3), (500, 3), (503, 4), (504, 4)]
)
def test_the_status_says_whether_the_service_refused_or_could_not_be_had(
    impress: Impress, sample: Path, status: int, expected: int
) -> None:
    with scripted(problem(status, Retry_After="0")) as server:
        result = impress("predict", sample, "--url", server.url)
    assert result.exit_code == expected
    assert result.stderr.startswith(f"error: {status} Title: because\nrequest: r-1\n")


def test_the_key_goes_along_and_an_address_that_is_none_is_refused(
    impress: Impress, sample: Path
) -> None:
    with scripted(problem(401)) as server:
        impress("predict", sample, "--url", server.url, "--api-key", "k-1")
    assert server.asked[0].headers["authorization"] == "Bearer k-1"
    wrong = impress("predict", sample, "--url", "localhost")
    assert (wrong.exit_code, wrong.stderr.split(",")[0]) == (
        2, "error: url: expected http://HOST:PORT or https://HOST"
    )  # fmt: skip


def test_each_row_has_a_task_of_its_own_where_that_is_asked_for(
    impress: Impress, service_url: str, sample: Path
) -> None:
    with Client(service_url) as client:
        expected = client.predict_each(ROWS)
    ran = impress("predict", sample, "--each-row")
    assert ran.exit_code == (1 if any(row.task is None for row in expected) else 0)
    lines = ran.stdout.splitlines()
    assert lines[0].endswith(f"{len({row.task for row in expected} - {None})} tasks of 3 rows")
    assert [line.split()[0] for line in lines[2:]] == ["0", "1", "2"]
    for line, row in zip(lines[2:], expected, strict=True):
        assert (row.task or "none fits") in line
    found = document(impress("predict", sample, "--each-row", "--json"))
    assert [one["task"] for one in found] == [row.task for row in expected]
    refused = impress("predict", sample, "--each-row", "--task", "task-1")
    assert refused.exit_code == 2
    assert "--task or --each-row, got both" in refused.stderr
