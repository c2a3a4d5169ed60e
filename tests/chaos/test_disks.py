"""A disk that is really full, or really read-only, under a real service."""

import shutil
import time
from pathlib import Path

from model_store.store import Store
from tests.chaos.small_disk import SmallDiskService
from tests.chaos.test_store_faults import (
    BEFORE,
    QUICK,
    assert_whole,
    expected_of,
    folder_of,
    loaded,
    note,
    put,
    pytestmark,  # noqa: F401 the same marks
)
from tests.faults import Faults
from tests.real_parts import running
from tests.service.artifacts import MakeArtifact
from tests.service.test_replicas import until

MEBIBYTE = 1 << 20


def taken_off(service: SmallDiskService, to: Path) -> Store:
    """What is on the disk, which goes with its service."""
    shutil.copytree(service.folder, to)
    return Store.open(to)


def test_disk_that_fills_up_keeps_what_was_acknowledged_and_takes_more_once_it_has_room(
    store: Store, tmp_path: Path, make_artifact: MakeArtifact, faults: Faults
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    content = make_artifact(50, kind="supermask").content
    service = SmallDiskService(folder_of(store), disk, MEBIBYTE, **QUICK)
    with running(service) as client:
        acknowledged = set()
        with loaded(client, expected_of(client)) as load:
            filler = service.folder / "filler"
            filler.write_bytes(bytes(service.free_bytes - 10 * len(content)))
            refusals = 0
            for number in range(20):
                answer = put(client, f"new-{number}", content)
                if answer.status_code == 201:
                    acknowledged.add(f"new-{number}")
                else:
                    refusals += 1
                    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                    assert "No space left" in answer.json()["detail"]
            assert service.free_bytes < len(content)
            assert client.get("/readyz").status_code == 200
            filler.unlink()
            assert put(client, "after", content).status_code == 201
            time.sleep(0.5)
        note(faults, "a real disk that is full, at uploads", load, times=refusals)
        kept = taken_off(service, tmp_path / "kept")
    assert acknowledged
    assert refusals
    assert_whole(kept, BEFORE | acknowledged | {"after"})
    assert all(kept.load(task).content == content for task in (*acknowledged, "after"))


def test_disk_that_turns_read_only_refuses_uploads_and_serves_on(
    store: Store, tmp_path: Path, make_artifact: MakeArtifact, faults: Faults
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    content = make_artifact(50).content
    service = SmallDiskService(folder_of(store), disk, 16 * MEBIBYTE, **QUICK)
    with running(service) as client:
        with loaded(client, expected_of(client)) as load:
            service.remount("ro")
            for refused in (put(client, "new", content), client.delete("/v1/tasks/task-2")):
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert "Read-only file system" in refused.json()["detail"]
            assert client.get("/readyz").status_code == 200
            service.remount("rw")
            assert until(lambda: put(client, "new", content).status_code in (200, 201))
            time.sleep(0.5)
        note(faults, "a real disk that turned read-only", load)
        kept = taken_off(service, tmp_path / "kept")
    assert_whole(kept, BEFORE | {"new"})
