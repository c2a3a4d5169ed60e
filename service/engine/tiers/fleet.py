"""What a replica shares with others through Redis, put together: started, stopped, warmed up by."""

import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter

from model_store.network import FrozenNetwork
from service.engine.paths.path_cost import PathCost
from service.engine.registry.nudges import Nudges
from service.engine.registry.registry import TaskRegistry
from service.engine.tiers.composed_cache import ComposedCache
from service.engine.tiers.hot_list import HotList
from service.engine.tiers.popularity import Popularity
from service.engine.tiers.redis_link import RedisLink
from service.engine.tiers.redis_tier import RedisTier, TierOptions
from service.engine.tiers.weights_codec import Precision
from service.settings import Settings
from service.watching.telemetry import Telemetry

_log = logging.getLogger(__name__)


@dataclass
class Fleet:
    """The parts, in the order in which they need each other."""

    link: RedisLink
    tier: RedisTier
    hot_list: HotList
    nudges: Nudges
    most_warmed: int
    warm_seconds: float

    async def start(self, registry: TaskRegistry, cache: ComposedCache) -> None:
        """Look for Redis; keep the fleet's hottest tasks before the first request comes."""
        await self.link.start()
        await self.tier.start()
        if self.warm_seconds:
            await self._warm(registry, cache)
        self.hot_list.start()

    async def close(self) -> None:
        """End what is under way, then the connections."""
        await self.nudges.close()
        await self.hot_list.close()
        await self.tier.close()
        await self.link.close()

    async def _warm(self, registry: TaskRegistry, cache: ComposedCache) -> None:
        hottest = await self.hot_list.hottest(self.most_warmed)
        if not hottest:
            return
        started = perf_counter()
        rank = {version: place for place, version in enumerate(hottest)}
        # One walk: names lead to tasks, hashes do not.
        found = {
            rank[version]: task for task in registry.snapshot() if (version := task.version) in rank
        }
        warmed = await cache.warm((found[place] for place in sorted(found)), self.warm_seconds)
        seconds = perf_counter() - started
        _log.info("warmed %d of %d hot tasks in %.2f s", warmed, len(hottest), seconds)


def fleet_of(
    settings: Settings,
    network: FrozenNetwork,
    precision: Precision,
    popularity: Popularity,
    compose_cost: PathCost,
    most_warmed: int,
    executor: Executor,
    telemetry: Telemetry,
) -> Fleet | None:
    """By the settings; None where they name no Redis."""
    if settings.redis_url is None:
        return None
    options = TierOptions(
        settings.redis_read,
        precision,
        settings.redis_ttl_seconds,
        settings.redis_max_bytes,
    )
    link = RedisLink(str(settings.redis_url), settings.redis_timeout_ms, telemetry)
    tier = RedisTier(link, network, options, compose_cost, executor, telemetry)
    hot_list = HotList(link, network, popularity)
    nudges = Nudges(link, network, telemetry.following)
    return Fleet(link, tier, hot_list, nudges, most_warmed, settings.redis_warm_seconds)


def precision_of(settings: Settings, mixes: bool) -> Precision:
    """What composed weights are rounded to, by whether rows also run without any."""
    if settings.redis_url is None:
        return "fp32"
    if settings.redis_precision == "auto":
        return "fp32" if mixes else "fp16"
    return settings.redis_precision
