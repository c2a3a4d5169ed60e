import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from tests.damage import damage_content

MakeArtifact = Callable[..., TaskArtifact]


def model_store(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_store", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def test_verify_of_a_whole_store_succeeds_and_list_names_its_tasks(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifacts = {form: make_artifact(network, form) for form in ("int8", "supermask")}
    for form, artifact in artifacts.items():
        store.publish(form, artifact)
    verified = model_store("verify", folder)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout == "2 tasks whole, 0 findings\n"
    listed = model_store("list", folder)
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert rows == [
        [form, one.content_hash[:12], kind, f"{len(one.content)} bytes"]
        for (form, one), kind in zip(artifacts.items(), ["coefficients", "supermask"], strict=True)
    ]


def test_verify_names_each_damaged_file_and_exits_with_one(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(network)
    store.publish("clothes", artifact)
    store.publish("digits", artifact)
    damage_content(folder, "clothes")
    (folder / ".tmp-1").write_bytes(b"")
    verified = model_store("verify", folder)
    assert verified.returncode == 1
    leftover, damaged, summary = verified.stdout.splitlines()
    assert leftover.startswith(f"{folder / '.tmp-1'}: ")
    assert damaged.startswith(f"{folder / 'segments/00000001.seg'}: task 'clothes' at byte ")
    assert summary == "1 tasks whole, 2 findings"
    listed = model_store("list", folder)
    assert listed.returncode == 2
    assert listed.stderr.startswith("error: segments/00000001.seg: task 'clothes' at ")


def test_compact_drops_what_is_dead_and_says_how_much(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    for seed in range(3):
        store.publish("clothes", make_artifact(network, seed=seed))
    before = store.log.whole_bytes
    compacted = model_store("compact", folder, "--versions", 1)
    assert (compacted.returncode, compacted.stderr) == (0, "")
    assert store.load("clothes").content == make_artifact(network, seed=2).content
    after = store.log.whole_bytes
    assert compacted.stdout == f"1 tasks in {after} bytes, {before} before\n"
    assert 2 * after < before


@pytest.mark.parametrize("command", ["verify", "list", "compact"])
def test_folder_without_a_store_is_an_error_without_a_traceback(
    tmp_path: Path, command: str
) -> None:
    result = model_store(command, tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == f"error: no store at {tmp_path}: it has no manifest.json\n"
