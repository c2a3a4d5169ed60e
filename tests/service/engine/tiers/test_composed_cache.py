import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskTensors
from service.engine.paths.path_cost import PathCost
from service.engine.tiers.composed_cache import ComposedCache
from service.engine.tiers.popularity import Popularity
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact

pytestmark = pytest.mark.anyio


class CountedComposition:
    """Real composition that counts, can be held back, and can be told to fail."""

    def __init__(self, network: FrozenNetwork) -> None:
        self._network = network
        self.composed: list[str] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.fails = False

    def __call__(self, artifact: TaskTensors) -> dict[str, Tensor]:
        self.may_go.wait(10)
        self.composed.append(artifact.content_hash)
        if self.fails:
            raise ArithmeticError("told to")
        return self._network.composed(artifact)


@pytest.fixture
def composition(network: FrozenNetwork) -> CountedComposition:
    return CountedComposition(network)


def cache_of(
    composition: CountedComposition, telemetry: Telemetry, capacity_bytes: int = 1 << 30
) -> ComposedCache:
    return ComposedCache(
        composition,
        ThreadPoolExecutor(1),
        capacity_bytes,
        Popularity(1000),
        PathCost(1e-3, 0.0),
        None,
        telemetry,
    )


def size_of(network: FrozenNetwork) -> int:
    return sum(layer.size * 4 for layer in network.layers)


async def test_weights_are_composed_once_however_many_wait(
    composition: CountedComposition, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    cache = cache_of(composition, telemetry)
    artifact = make_artifact(1)
    results = await asyncio.gather(*(cache.get(artifact) for _ in range(50)))
    assert len(composition.composed) == 1
    assert all(result is results[0] for result in results)


async def test_nothing_is_composed_before_it_is_asked_for(
    composition: CountedComposition, telemetry: Telemetry
) -> None:
    cache_of(composition, telemetry)
    assert composition.composed == []


async def test_caller_that_leaves_does_not_take_the_composition_from_others(
    composition: CountedComposition, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    cache = cache_of(composition, telemetry)
    composition.may_go.clear()
    first = asyncio.create_task(cache.get(make_artifact(1)))
    second = asyncio.create_task(cache.get(make_artifact(1)))
    await asyncio.sleep(0.02)
    first.cancel()
    composition.may_go.set()
    assert len(await second) == 3
    assert len(composition.composed) == 1


async def test_failed_composition_reaches_every_waiter_and_is_tried_again(
    composition: CountedComposition, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    cache = cache_of(composition, telemetry)
    composition.fails = True
    outcomes = await asyncio.gather(
        *(cache.get(make_artifact(1)) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [ArithmeticError] * 3
    composition.fails = False
    assert len(await cache.get(make_artifact(1))) == 3


async def test_kept_weights_never_exceed_the_bound_and_the_oldest_go_first_for_one_asked_for_more(
    network: FrozenNetwork,
    composition: CountedComposition,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    cache = cache_of(composition, telemetry, capacity_bytes=2 * size_of(network))
    one, two, three = (make_artifact(seed) for seed in (1, 2, 3))
    await cache.get(one)
    await cache.get(two)
    await cache.get(one)
    await cache.get(three)
    await cache.get(three)
    await cache.get(one)
    await cache.get(three)
    assert len(composition.composed) == 4
    await cache.get(two)
    assert len(composition.composed) == 5
    kept_bytes = telemetry.registry.get_sample_value("impress_cache_bytes")
    assert kept_bytes == 2 * size_of(network)


async def test_cache_too_small_for_one_task_still_serves(
    composition: CountedComposition, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    cache = cache_of(composition, telemetry, capacity_bytes=10)
    assert len(await cache.get(make_artifact(1))) == 3
    assert telemetry.registry.get_sample_value("impress_cache_bytes") == 0


async def test_evicted_weights_stay_whole_for_their_reader(
    network: FrozenNetwork,
    composition: CountedComposition,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    cache = cache_of(composition, telemetry, capacity_bytes=size_of(network))
    held = await cache.get(make_artifact(1))
    await cache.get(make_artifact(2))
    await cache.get(make_artifact(2))
    assert cache.at_hand(make_artifact(1).content_hash) is None
    expected = network.composed(make_artifact(1))
    assert all(torch.equal(held[name], expected[name]) for name in expected)


async def test_tasks_asked_for_once_displace_none_asked_for_often(
    network: FrozenNetwork,
    composition: CountedComposition,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    cache = cache_of(composition, telemetry, capacity_bytes=size_of(network))
    hot = make_artifact(1)
    for _ in range(2):
        await cache.get(hot)
    for seed in range(2, 20):
        await cache.get(make_artifact(seed))
    assert cache.at_hand(hot.content_hash) is not None


async def test_what_would_not_be_kept_is_not_composed_ahead(
    network: FrozenNetwork,
    composition: CountedComposition,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    cache = cache_of(composition, telemetry, capacity_bytes=size_of(network))
    one, two = make_artifact(1), make_artifact(2)
    await cache.get(one)
    cache.at_hand(two.content_hash)
    cache.compose_soon(two)
    await asyncio.sleep(0.02)
    assert composition.composed == [one.content_hash]
    cache.at_hand(two.content_hash)
    cache.compose_soon(two)
    await cache.get(two)
    assert composition.composed == [one.content_hash, two.content_hash]


async def test_warming_keeps_the_hottest_first_and_longest(
    network: FrozenNetwork,
    composition: CountedComposition,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    cache = cache_of(composition, telemetry, capacity_bytes=2 * size_of(network))
    hot = [make_artifact(seed) for seed in range(3)]
    assert await cache.warm(hot, 60) == 2
    await cache.get(make_artifact(9))
    await cache.get(make_artifact(9))
    assert cache.at_hand(hot[0].content_hash) is not None
    assert cache.at_hand(hot[1].content_hash) is None


async def test_warming_ends_when_its_time_is_over_and_goes_past_what_fails(
    composition: CountedComposition, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    cache = cache_of(composition, telemetry)
    hot = [make_artifact(seed) for seed in range(3)]
    composition.fails = True
    assert await cache.warm(hot, 60) == 0
    assert len(composition.composed) == 3
    composition.fails = False
    composition.may_go.clear()
    assert await cache.warm(hot, 0.01) == 0
    composition.may_go.set()


async def test_dropped_weights_free_their_bytes_and_are_composed_again(
    composition: CountedComposition, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    cache = cache_of(composition, telemetry)
    held = await cache.get(make_artifact(1))
    await cache.get(make_artifact(2))
    both = telemetry.registry.get_sample_value("impress_cache_bytes")
    for _ in range(2):
        cache.drop(make_artifact(1).content_hash)
        assert telemetry.registry.get_sample_value("impress_cache_bytes") == (both or 0) / 2
    assert len(held) == 3
    await cache.get(make_artifact(1))
    assert len(composition.composed) == 3
