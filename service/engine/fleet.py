"""What a replica shares with others through Redis, put together: started and stopped."""

from concurrent.futures import Executor
from dataclasses import dataclass

from model_store.network import FrozenNetwork
from service.engine.path_cost import PathCost
from service.engine.redis_link import RedisLink
from service.engine.redis_tier import RedisTier, TierOptions
from service.engine.weights_codec import Precision
from service.settings import Settings
from service.telemetry import Telemetry


@dataclass
class Fleet:
    """The parts, in the order in which they need each other."""

    link: RedisLink
    tier: RedisTier

    async def start(self) -> None:
        """Look for Redis, and measure what it takes."""
        await self.link.start()
        await self.tier.start()

    async def close(self) -> None:
        """End what is under way, then the connections."""
        await self.tier.close()
        await self.link.close()


def fleet_of(
    settings: Settings,
    network: FrozenNetwork,
    precision: Precision,
    compose_cost: PathCost,
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
    return Fleet(link, tier)


def precision_of(settings: Settings, mixes: bool) -> Precision:
    """What composed weights are rounded to, by whether rows also run without any."""
    if settings.redis_url is None:
        return "fp32"
    if settings.redis_precision == "auto":
        return "fp32" if mixes else "fp16"
    return settings.redis_precision
