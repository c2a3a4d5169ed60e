"""A follower on a real store: in step at intervals, at once where nudged, and honest where not."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from model_store.files import LocalFolder
from model_store.segment_list import LIST_FILE
from model_store.store import Store
from service.engine.registry.follower import Follower
from service.engine.registry.registry import TaskRegistry
from service.watching.telemetry import Telemetry
from tests.damage import damage_content
from tests.service.artifacts import MakeArtifact

pytestmark = pytest.mark.anyio


class Replica:
    """A registry of a store's folder, and its follower."""

    def __init__(self, folder: Path, interval_seconds: float, stale_seconds: float) -> None:
        self.metrics = CollectorRegistry()
        telemetry = Telemetry(self.metrics)
        self.executor = ThreadPoolExecutor(1)
        self.registry = TaskRegistry(Store.open(folder), self.executor, telemetry)
        self.follower = Follower(
            self.registry, interval_seconds, stale_seconds, telemetry.following
        )

    def sample(self, name: str) -> float:
        return self.metrics.get_sample_value(f"impress_registry_{name}") or 0


@asynccontextmanager
async def following(
    store: Store, interval_seconds: float, stale_seconds: float = 60
) -> AsyncIterator[Replica]:
    made = Replica(Path(str(store.files)), interval_seconds, stale_seconds)
    made.registry.load_all()
    await made.follower.start()
    try:
        yield made
    finally:
        await made.follower.close()
        made.executor.shutdown()


async def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 the disk tells nobody
        await asyncio.sleep(0.005)
    return holds()


async def test_what_another_process_publishes_is_live_within_the_interval(
    store: Store, make_artifact: MakeArtifact
) -> None:
    async with following(store, interval_seconds=0.02) as replica:
        store.publish("new", make_artifact(50))
        store.delete("task-1")
        assert await until(lambda: "new" in {one.task_id for one in replica.registry.snapshot()})
        assert await until(lambda: replica.sample("followed_total") == 2)
        assert len(replica.registry) == 5


async def test_what_others_changed_is_one_line_in_the_log(
    store: Store, make_artifact: MakeArtifact, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with following(store, interval_seconds=3600) as replica:
        await replica.follower.look(thorough=True)
        assert caplog.records == []
        for seed in range(3):
            store.publish(f"new-{seed}", make_artifact(50 + seed))
        await replica.follower.look(thorough=True)
    (record,) = caplog.records
    assert vars(record)["tasks"] == 3


async def test_nudge_is_not_waited_for_until_the_interval(
    store: Store, make_artifact: MakeArtifact
) -> None:
    async with following(store, interval_seconds=3600) as replica:
        store.publish("new", make_artifact(50))
        await asyncio.sleep(0.1)
        assert len(replica.registry) == 5
        replica.follower.nudge()
        assert await until(lambda: len(replica.registry) == 6)


async def test_damage_is_found_at_the_interval_however_many_nudges_come(store: Store) -> None:
    async with following(store, interval_seconds=0.1) as replica:
        damage_content(Path(str(store.files)), "task-1")

        def found_while_nudged() -> bool:
            replica.follower.nudge()
            return "task-1" in replica.registry.damaged

        assert await until(found_while_nudged)
        assert len(replica.registry) == 4


async def test_nudges_without_number_cost_few_looks(store: Store) -> None:
    async with following(store, interval_seconds=3600) as replica:
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < 0.3:
            replica.follower.nudge()
            await asyncio.sleep(0)
        looks = replica.metrics.get_sample_value(
            "impress_registry_reconcile_duration_seconds_count", {"reason": "nudge"}
        )
        assert looks is not None
        assert 1 <= looks <= seconds / 0.01 + 1


async def test_replica_is_ready_only_once_it_was_in_step(store: Store) -> None:
    files, folder = LocalFolder(Path(str(store.files))), Path(str(store.files))
    listed = files.read(LIST_FILE)
    replica = Replica(folder, 0.02, 60)
    replica.registry.load_all()
    assert replica.follower.unready == "the tasks are not yet in step with the store"
    files.write(LIST_FILE, b"?")
    await replica.follower.start()
    unready = replica.follower.unready
    assert unready is not None
    assert "not yet in step with the store: the store cannot be used now" in unready
    files.write(LIST_FILE, listed)
    assert await until(lambda: replica.follower.unready is None)
    assert replica.follower.explained == "in step"
    await replica.follower.close()


async def test_replica_that_lost_its_store_stays_ready_for_a_while_and_says_so(
    store: Store, make_artifact: MakeArtifact
) -> None:
    files = LocalFolder(Path(str(store.files)))
    async with following(store, interval_seconds=0.02, stale_seconds=0.5) as replica:
        listed = files.read(LIST_FILE)
        files.write(LIST_FILE, b"?")
        assert await until(lambda: "a list of segments" in replica.follower.explained)
        assert replica.follower.unready is None
        assert len(replica.registry) == 5
        assert await until(lambda: replica.follower.unready is not None)
        assert "not in step with the store for" in str(replica.follower.unready)
        assert replica.sample("lag_seconds") > 0.5
        files.write(LIST_FILE, listed)
        store.publish("new", make_artifact(50))
        assert await until(lambda: replica.follower.unready is None)
        assert len(replica.registry) == 6
        assert replica.sample("lag_seconds") < 0.5
        assert time.time() - replica.sample("reconciled_timestamp_seconds") < 5
