from pathlib import Path

from tests.client.commands.conftest import Impress, document
from tests.service.artifacts import MakeArtifact


def test_versions_are_listed_tried_and_rolled_back(
    impress: Impress, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    hashes = []
    for seed in (80, 81):
        artifact = make_artifact(seed)
        hashes.append(artifact.content_hash)
        file = tmp_path / "rolled.safetensors"
        file.write_bytes(artifact.content)
        assert impress("task", "push", file).exit_code == 0
    first, second = hashes
    assert impress("task", "versions", "rolled").stdout == f"{first}\n{second}  live\n"
    tried = impress("task", "canary", "rolled", first[:10], "--share", 0.25)
    assert tried.stdout == f"rolled  {first}  25.0% of requests\n"
    listed = document(impress("task", "versions", "rolled", "--json"))["versions"]
    assert [one["canary_share"] for one in listed] == [0.25, None]
    assert impress("task", "canary", "rolled", first, "--share", 0).exit_code == 0
    assert impress("task", "rollback", "rolled").stdout == f"rolled  {first}  live\n"
    assert (
        document(impress("task", "rollback", "rolled", second[:8], "--json"))["version"] == second
    )
    unknown = impress("task", "rollback", "rolled", "x")
    assert (unknown.exit_code, unknown.stderr) == (2, "error: 0 of 2 versions begin with 'x'\n")
    assert impress("task", "rm", "rolled", "--yes").exit_code == 0


def test_artifacts_are_judged_in_full_without_being_pushed(
    impress: Impress, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "b d.safetensors"
    good.write_bytes(make_artifact(82).content)
    bad.write_bytes(make_artifact(83).content[:-8])
    told = impress("task", "validate", good, bad)
    assert told.exit_code == 1
    assert f"good, {make_artifact(82).content_hash}" in told.stdout
    assert "cannot serve\n  a task name is 1 to 128" in told.stdout
    assert len(told.stdout.splitlines()) == 4
    trials = document(impress("task", "validate", good, "--json"))
    assert trials[str(good)]["valid"] is True
    assert impress("task", "show", "good").exit_code == 3


def test_tasks_are_warmed_up(impress: Impress) -> None:
    assert (
        impress("task", "warm", "task-2", "task-3").stdout == "task-2  at hand\ntask-3  at hand\n"
    )
    assert impress("task", "warm", "nobody").exit_code == 3
