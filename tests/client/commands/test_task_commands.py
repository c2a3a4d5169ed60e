import json
from pathlib import Path

import pytest

from tests.client.commands.conftest import Impress, document
from tests.service.artifacts import MakeArtifact


def test_a_task_is_pushed_shown_listed_and_removed(
    impress: Impress, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(60)
    file = tmp_path / "fresh.safetensors"
    file.write_bytes(artifact.content)
    version = artifact.content_hash
    assert impress("task", "push", file).stdout == f"fresh  {version[:12]}  new\n"
    assert impress("task", "push", file).stdout == f"fresh  {version[:12]}  replaced\n"
    shown = impress("task", "show", "fresh")
    assert shown.exit_code == 0
    assert f"version            {version}\n" in shown.stdout
    assert "classes            4: ant, bee, cat, dog\n" in shown.stdout
    assert f"fresh   {version[:12]}  coefficients\n" in impress("task", "list").stdout
    assert impress("task", "rm", "fresh", "--yes").stdout == "fresh  deleted\n"
    gone = impress("task", "show", "fresh")
    assert (gone.exit_code, gone.stdout) == (3, "")
    assert gone.stderr.startswith("error: 404 Not Found: no task 'fresh'\nrequest: ")


def test_json_says_all_of_it_for_programs(
    impress: Impress, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(61)
    file = tmp_path / "any-file"
    file.write_bytes(artifact.content)
    (pushed,) = document(impress("task", "push", file, "--name", "named", "--json"))["pushed"]
    assert (pushed["created"], pushed["task"]["task"]) == (True, "named")
    assert document(impress("task", "show", "named", "--json")) == pushed["task"]
    removed = impress("task", "rm", "named", "nobody", "--yes", "--json")
    assert removed.exit_code == 3
    assert json.loads(removed.stdout) == {"deleted": ["named"]}
    error = json.loads(removed.stderr)
    assert (error["kind"], error["status"]) == ("NotFound", 404)
    assert error["request_id"]


def test_a_list_goes_on_where_the_page_before_ended(impress: Impress) -> None:
    first = document(impress("task", "list", "--limit", 3, "--json"))
    assert [one["task"] for one in first["tasks"]] == ["task-0", "task-1", "task-2"]
    rest = document(impress("task", "list", "--cursor", first["next_cursor"], "--json"))
    assert [one["task"] for one in rest["tasks"]] == ["task-3"]
    assert rest["next_cursor"] is None
    told = impress("task", "list", "--limit", 3)
    assert "there are more: --cursor task-2, or --all" in told.stderr
    everything = impress("task", "list", "--limit", 3, "--all")
    assert len(everything.stdout.splitlines()) == 4


def test_what_is_no_artifact_is_not_sent(impress: Impress, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    for path, said in ((file, "expected a task artifact"), (tmp_path / "none", "No such file")):
        refused = impress("task", "push", path)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(f"error: {path}: {said}")


def test_one_name_is_for_one_file(impress: Impress, tmp_path: Path) -> None:
    refused = impress("task", "push", tmp_path / "a", tmp_path / "b", "--name", "c")
    assert (refused.exit_code, refused.stderr) == (2, "error: --name is for one file, got 2\n")


def test_what_the_service_refuses_ends_with_its_words(
    impress: Impress, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    file = tmp_path / "wrong name.safetensors"
    file.write_bytes(make_artifact(62).content)
    refused = impress("task", "push", file)
    assert refused.exit_code == 3
    assert "error: 422" in refused.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_nothing_is_deleted_where_nobody_can_be_asked(impress: Impress, options: list[str]) -> None:
    refused = impress("task", "rm", "task-0", *options)
    assert refused.exit_code == 2
    assert "say --yes" in refused.stderr
    assert impress("task", "show", "task-0").exit_code == 0
