"""The engine's parts and their threads, put together, started and stopped."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masked_network.devices import chosen_device
from model_store.network import FrozenNetwork
from model_store.store import Store
from service.engine.batches.admission import BatchLimits
from service.engine.batches.batcher import Batcher
from service.engine.freed_memory import keep_freed_memory
from service.engine.inference.unnamed_rows import UnnamedRows, unnamed_rows_of
from service.engine.paths.exact_products import multiply_exactly
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.measured_costs import measured_costs
from service.engine.paths.mixed_forward_here import mixed_forward_for
from service.engine.paths.planned_forward import PlannedForward, Work
from service.engine.paths.planner import Planner
from service.engine.predictor import Predictor
from service.engine.registry.follower import Follower
from service.engine.registry.registry import TaskRegistry
from service.engine.registry.shared_arrays import SharedArrays
from service.engine.threads import is_small, use_threads_that_help
from service.engine.tiers.composed_cache import ComposedCache
from service.engine.tiers.fleet import Fleet, fleet_of, precision_of
from service.engine.tiers.pinned_tasks import PinnedTasks
from service.engine.tiers.popularity import Popularity
from service.engine.tiers.weights_codec import composition
from service.engine.traced_parts import PLAIN_PARTS, TRACED_PARTS
from service.settings import Settings
from service.watching.telemetry import Telemetry

_REQUESTS_A_TASK = 10
"""In a window of popularity, for each task that fits the cache, as TinyLFU has it."""
_LEAST_WINDOW = 1024
_MEMORY = Path("/dev/shm")  # noqa: S108 a folder of this user alone is made in it
_ALLOCATIONS_BETWEEN_COLLECTIONS = 10_000


@dataclass
class Engine:
    """What the routes ask: the registry and the predictor, with the parts behind them."""

    network: FrozenNetwork
    registry: TaskRegistry
    predictor: Predictor
    batcher: Batcher[Work]
    unnamed: UnnamedRows
    planned: PlannedForward
    cache: ComposedCache
    pinned: PinnedTasks
    fleet: Fleet | None
    follower: Follower
    executors: tuple[ThreadPoolExecutor, ...]

    async def start(self) -> None:
        """Load every task, compose pinned ones, warm up by what Redis says, follow the store."""
        self.registry.load_all()
        await self.pinned.start()
        if self.fleet is not None:
            await self.fleet.start(self.registry, self.cache)
        await self.follower.start()
        # What was loaded stays: looking through it for garbage would stop all requests for a
        # third of a second, again and again, where there are a hundred thousand tasks.
        gc.collect()
        gc.freeze()
        # Requests leave no circles behind, so it is enough to look for some now and then.
        gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)
        if self.fleet is not None:
            self.fleet.nudges.start(self.follower.nudge)

    def explained(self) -> dict[str, Any]:
        """How batches are computed here and composed weights are had, for people."""
        fleet = self.fleet
        return {
            **self.planned.explained(),
            "pinned_tasks": self.pinned.explained(),
            "redis": None if fleet is None else fleet.tier.explained(),
        }

    async def close(self) -> None:
        """Answer what waits, then end every thread and connection."""
        await self.unnamed.close()
        await self.batcher.close()
        await self.follower.close()
        if self.fleet is not None:
            await self.fleet.close()
        for executor in self.executors:
            executor.shutdown()


def build_engine(settings: Settings, telemetry: Telemetry) -> Engine:
    """Open the store and wire the parts. Raises the store's errors, or `ValueError`."""
    device = chosen_device(settings.device)
    telemetry.describe_build(device.type)
    multiply_exactly(device)
    store = Store.open(settings.store)
    network = store.network.to(device)
    use_threads_that_help(network)
    if not is_small(network):
        keep_freed_memory()
    # A thread each, so that no composition, task inference or disk waits on the forward passes.
    forwarding = ThreadPoolExecutor(1, "forward")
    composing = ThreadPoolExecutor(1, "compose")
    identifying = ThreadPoolExecutor(1, "identify")
    storing = ThreadPoolExecutor(1, "store")
    limits = BatchLimits(
        settings.max_batch_rows,
        settings.max_queue_rows,
        settings.max_batch_delay_ms,
        settings.max_inline_ms,
    )
    telemetry.queue_limit_rows.set(limits.queue_rows)
    forward = ForwardPass(network, device, settings.max_batch_rows)
    mixed = mixed_forward_for(
        network, settings.forward_path, settings.max_batch_rows, settings.resident_bytes
    )
    precision = precision_of(settings, mixes=mixed is not None)
    compose = composition(network, precision)
    costs = measured_costs(network, compose, forward, mixed)
    fits = settings.cache_bytes // network.composed_bytes
    to_warm = max(0, fits - len(settings.pinned_names))
    popularity = Popularity(max(_LEAST_WINDOW, _REQUESTS_A_TASK * fits))
    fleet = fleet_of(
        settings, network, precision, popularity, costs.compose, to_warm, composing, telemetry
    )
    tier = None if fleet is None else fleet.tier
    parts = TRACED_PARTS if settings.trace_share else PLAIN_PARTS
    cache = parts.cache(
        compose, composing, settings.cache_bytes, popularity, costs.compose, tier, telemetry
    )
    pinned = PinnedTasks(settings.pinned_names, cache, network.composed_bytes, settings.cache_bytes)
    planner = Planner(costs, settings.forward_path)
    planned = parts.forward(planner, forward, compose, mixed, telemetry)
    batcher = parts.batcher(planned, forwarding, limits, telemetry)
    registry = TaskRegistry(
        store,
        storing,
        telemetry,
        (lambda: None) if fleet is None else fleet.nudges.tell,
        cache.drop,
        pinned.follow,
        SharedArrays(_MEMORY) if settings.share_tasks else None,
    )
    follower = Follower(
        registry, settings.reconcile_seconds, settings.stale_seconds, telemetry.following
    )
    unnamed = unnamed_rows_of(
        settings, network, registry, identifying, lambda: batcher.batches, telemetry
    )
    predictor = parts.predictor(registry, cache, planned, batcher, unnamed, telemetry)
    executors = (forwarding, composing, identifying, storing)
    return Engine(
        network,
        registry,
        predictor,
        batcher,
        unnamed,
        planned,
        cache,
        pinned,
        fleet,
        follower,
        executors,
    )
