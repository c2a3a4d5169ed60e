"""Versions in memory: named ones within a bound, and canaries that every replica follows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from model_store.canary import Canary
from model_store.errors import UnknownTask
from model_store.store import Store
from service.engine.registry.canaries import ServingCanary
from service.engine.registry.held_versions import HeldVersions
from service.engine.registry.registry import TaskRegistry
from service.watching.telemetry import Telemetry
from tests.damage import damage_content
from tests.service.artifacts import MakeArtifact, registered

pytestmark = pytest.mark.anyio

ROWS = np.full((3, 20), 0.5, np.float32)


@contextmanager
def registry_of(store: Store, telemetry: Telemetry) -> Iterator[TaskRegistry]:
    with ThreadPoolExecutor(1) as executor:
        made = TaskRegistry(Store.open(Path(str(store.files))), executor, telemetry)
        made.load_all()
        yield made


async def test_versions_beyond_the_bound_are_let_go_and_read_again(
    store: Store, make_artifact: MakeArtifact
) -> None:
    held = HeldVersions(most=2)
    tasks = [registered(store.network, f"t{seed}", make_artifact(seed)) for seed in range(3)]
    assert held.put("a", tasks[0]) is None
    assert held.put("b", tasks[1]) is None
    assert held.get("a") is tasks[0]
    assert held.put("c", tasks[2]) is tasks[1]
    assert held.names() == ("a", "c")
    held.drop_task("t0")
    assert held.drop("c") is tasks[2]
    assert held.names() == ()


async def test_named_version_is_read_once_and_gone_once_another_replica_dropped_it(
    store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    store.publish("task-0", make_artifact(51))
    version = make_artifact(0).content_hash
    with registry_of(store, telemetry) as registry:
        before = registry.versions.at_hand("task-0", version)
        found = await registry.versions.get("task-0", version)
        assert before is None
        assert found.version == version
        assert await registry.versions.get("task-0", version) is found
        store.versions.delete("task-0", version)
        await registry.catch_up(thorough=False)
        with pytest.raises(UnknownTask):
            await registry.versions.get("task-0", version)
        with pytest.raises(UnknownTask, match="live"):
            await registry.versions.get("task-0", "../../x")


async def test_many_tasks_of_one_version_hold_nothing_besides(
    store: Store, telemetry: Telemetry
) -> None:
    with registry_of(store, telemetry) as registry:
        assert store.log.beside == {}
        assert await registry.versions.of("task-0") == [registry.get("task-0").version]


async def test_canary_of_one_replica_serves_on_the_other_and_ends_there(
    store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    coming = make_artifact(51)
    with registry_of(store, telemetry) as one, registry_of(store, telemetry) as other:
        loaded = other.version
        await one.versions.add("task-0", coming)
        await one.versions.set_canary("task-0", Canary(version=coming.content_hash, share=1))
        assert one.choose("task-0", ROWS).version == coming.content_hash
        assert await other.catch_up(thorough=False) == 1
        assert other.choose("task-0", ROWS).version == coming.content_hash
        assert other.get("task-0").version == make_artifact(0).content_hash
        assert other.version == one.version != loaded
        with registry_of(store, telemetry) as fresh:
            assert fresh.version == one.version
            assert fresh.choose("task-0", ROWS).version == coming.content_hash
        await other.versions.set_canary("task-0", None)
        await one.catch_up(thorough=True)
        assert one.choose("task-0", ROWS) is one.get("task-0")
        assert one.version == loaded


async def test_canary_whose_version_is_damaged_is_left_out_and_the_task_goes_on(
    store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    coming = make_artifact(51)
    store.versions.add("task-0", coming)
    store.versions.set_canary("task-0", Canary(version=coming.content_hash, share=1))
    damage_content(Path(str(store.files)), f"task-0@{coming.content_hash}")
    with registry_of(store, telemetry) as registry:
        assert registry.damaged.keys() == {"task-0@canary"}
        assert registry.choose("task-0", ROWS) is registry.get("task-0")
        await registry.versions.set_canary("task-0", None)
        assert registry.damaged == {}


async def test_share_of_many_requests_is_what_was_said_and_differs_by_task(
    store: Store, make_artifact: MakeArtifact
) -> None:
    generator = np.random.default_rng(1)
    requests = [generator.random((1, 20), np.float32) for _ in range(2000)]
    taken = {}
    for name in ("a", "b"):
        canary = ServingCanary(registered(store.network, name, make_artifact(1)), 0.3)
        taken[name] = [canary.takes(rows) for rows in requests]
        assert 0.26 < sum(taken[name]) / len(requests) < 0.34
    both = sum(one and other for one, other in zip(taken["a"], taken["b"], strict=True))
    assert both < 0.6 * sum(taken["a"])
    everyone = ServingCanary(registered(store.network, "a", make_artifact(1)), 1)
    assert all(map(everyone.takes, requests))
