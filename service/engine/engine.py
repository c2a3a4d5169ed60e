"""The engine's parts and their threads, put together, started and stopped."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from masked_network.devices import chosen_device
from model_store.network import FrozenNetwork
from model_store.store import Store
from service.engine.admission import BatchLimits
from service.engine.batcher import Batcher
from service.engine.composed_cache import ComposedCache
from service.engine.forward_pass import ForwardPass
from service.engine.measured_costs import measured_costs
from service.engine.mixed_forward import mixed_forward
from service.engine.planned_forward import PlannedForward, Work
from service.engine.planner import Planner
from service.engine.predictor import Predictor
from service.engine.redis_tier import RedisTier
from service.engine.registry import TaskRegistry
from service.engine.task_identifier import TaskIdentifier
from service.settings import Settings
from service.telemetry import Telemetry


@dataclass
class Engine:
    """What the routes ask: the registry and the predictor, with the parts behind them."""

    network: FrozenNetwork
    registry: TaskRegistry
    predictor: Predictor
    batcher: Batcher[Work]
    planned: PlannedForward
    redis_tier: RedisTier | None
    executors: tuple[ThreadPoolExecutor, ...]

    async def start(self) -> None:
        """Load every task and look for Redis."""
        self.registry.load_all()
        if self.redis_tier is not None:
            await self.redis_tier.start()

    async def close(self) -> None:
        """Answer what waits, then end every thread and connection."""
        await self.batcher.close()
        if self.redis_tier is not None:
            await self.redis_tier.close()
        for executor in self.executors:
            executor.shutdown()


def build_engine(settings: Settings, telemetry: Telemetry) -> Engine:
    """Open the store and wire the parts. Raises the store's errors, or `ValueError`."""
    device = chosen_device(settings.device)
    telemetry.describe_build(device.type)
    store = Store.open(settings.store)
    network = store.network.to(device)
    # A thread each, so that no composition, task inference or disk waits on the forward passes.
    forwarding = ThreadPoolExecutor(1, "forward")
    composing = ThreadPoolExecutor(1, "compose")
    identifying = ThreadPoolExecutor(1, "identify")
    storing = ThreadPoolExecutor(1, "store")
    redis_tier = None
    if settings.redis_url is not None:
        redis_tier = RedisTier(
            str(settings.redis_url),
            settings.redis_timeout_ms,
            settings.redis_ttl_seconds,
            network.composed_shapes,
            device,
            composing,
            telemetry,
        )
    cache = ComposedCache(network.composed, composing, settings.cache_bytes, redis_tier, telemetry)
    limits = BatchLimits(
        settings.max_batch_rows,
        settings.max_queue_rows,
        settings.max_batch_delay_ms,
        settings.max_inline_ms,
    )
    forward, mixed = ForwardPass(network, device), mixed_forward(network)
    planner = Planner(measured_costs(network, forward, mixed))
    planned = PlannedForward(planner, forward, network.composed, mixed, telemetry)
    batcher = Batcher(planned, forwarding, limits, telemetry)
    registry = TaskRegistry(store, storing, telemetry)
    predictor = Predictor(
        registry,
        cache,
        planned,
        batcher,
        TaskIdentifier(network, settings.inference_shortlist),
        identifying,
        settings.inference_margin_nats,
        telemetry,
    )
    executors = (forwarding, composing, identifying, storing)
    return Engine(network, registry, predictor, batcher, planned, redis_tier, executors)
