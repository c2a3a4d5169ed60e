"""Pinned tasks of a real store, while others are asked for and they themselves come and go."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.network import FrozenNetwork
from model_store.store import Store
from service.engine.engine import Engine, build_engine
from service.engine.registry.entries import Terms
from service.settings import Settings
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(
    store: Store, network: FrozenNetwork, telemetry: Telemetry
) -> AsyncIterator[Engine]:
    """With task-1 and one that is not there yet pinned, and room for three."""
    threads = torch.get_num_threads()
    settings = Settings(
        store=Path(str(store.files)),
        pinned_tasks="task-1,later",
        cache_bytes=3 * network.composed_bytes,
        forward_path="grouped",
    )
    built = build_engine(settings, telemetry)
    await built.start()
    yield built
    await built.close()
    torch.set_num_threads(threads)


def version(engine: Engine, task: str = "task-1") -> str:
    return engine.registry.get(task).version


async def test_a_pinned_task_is_at_hand_before_the_first_request(
    engine: Engine, telemetry: Telemetry, network: FrozenNetwork
) -> None:
    assert engine.explained()["pinned_tasks"] == {"task-1": "at hand", "later": "no such task"}
    kept = telemetry.registry.get_sample_value("impress_cache_bytes")
    assert kept == network.composed_bytes


async def test_tasks_asked_for_more_often_displace_others_and_never_it(
    engine: Engine, telemetry: Telemetry
) -> None:
    rows = np.zeros((1, 20), np.float32)
    for times, task in enumerate(("task-0", "task-2", "task-3", "masked"), start=1):
        for _ in range(times):
            await engine.predictor.predict(task, rows, Terms("a"))
            assert engine.cache.has(version(engine))
    assert engine.cache.has(version(engine, "masked"))
    assert telemetry.registry.get_sample_value("impress_cache_evictions_total") == 2


async def test_its_next_version_takes_its_place(
    engine: Engine, telemetry: Telemetry, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    before = version(engine)
    for seed in range(50, 53):
        await engine.registry.publish("task-1", make_artifact(seed).content)
    await engine.pinned.start()
    assert engine.pinned.explained()["task-1"] == "at hand"
    assert version(engine) == make_artifact(52).content_hash != before
    assert not engine.cache.has(before)
    rows = np.zeros((1, 20), np.float32)
    for task in ("task-0", "task-2", "task-3") * 3:
        await engine.predictor.predict(task, rows, Terms("a"))
    assert engine.cache.has(version(engine))
    kept = telemetry.registry.get_sample_value("impress_cache_bytes")
    assert kept == 3 * network.composed_bytes


async def test_a_version_that_another_publisher_wrote_is_pinned_too(
    engine: Engine, store: Store, make_artifact: MakeArtifact
) -> None:
    store.publish("later", make_artifact(70))
    await engine.registry.catch_up(thorough=True)
    await engine.pinned.start()
    assert engine.pinned.explained()["later"] == "at hand"
    assert engine.cache.has(make_artifact(70).content_hash)


async def test_a_deleted_task_leaves_nothing_and_is_pinned_again_when_it_comes_back(
    engine: Engine, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    await engine.registry.delete("task-1")
    assert engine.pinned.explained()["task-1"] == "no such task"
    assert telemetry.registry.get_sample_value("impress_cache_bytes") == 0
    await engine.registry.publish("task-1", make_artifact(60).content)
    await engine.pinned.start()
    assert engine.pinned.explained()["task-1"] == "at hand"


async def test_deleting_another_task_of_the_same_content_leaves_it_pinned(
    engine: Engine, make_artifact: MakeArtifact
) -> None:
    for name in ("copy", "later"):
        await engine.registry.publish(name, make_artifact(1).content)
    assert version(engine) == version(engine, "copy")
    await engine.registry.delete("copy")
    await engine.registry.delete("later")
    assert engine.cache.has(version(engine))


async def test_more_than_fits_is_refused(store: Store, telemetry: Telemetry) -> None:
    settings = Settings(store=Path(str(store.files)), pinned_tasks="a,b", cache_bytes=1000)
    with pytest.raises(ValueError, match=r"cache_bytes of at least \d+ for 2 tasks .* got 1000"):
        build_engine(settings, telemetry)
