"""Whether composed weights are there sooner from Redis or by composing, for each backbone and bank.

One process on one core, a real redis-server on another over loopback. A fetch is the service's own:
its client, checked and decoded. Composing and fetching take turns. What is claimed is that the
service chooses the faster of the two by what it measures itself, anew in each round. Of the large
backbones weights are in half precision alone: fp32 takes Redis twice as long, and composing less.
"""

import asyncio
import os
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import torch
import typer
from prometheus_client import CollectorRegistry

from benchmarks.figures.bars import bars_png
from benchmarks.random_tasks import random_network, random_tasks
from masked_network.mask_bank import BankKind
from model_store.network import FrozenNetwork
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.measured_costs import measured_costs
from service.engine.tiers.fetch_worth import Read
from service.engine.tiers.redis_link import RedisLink
from service.engine.tiers.redis_tier import RedisTier, TierOptions
from service.engine.tiers.weights_codec import Precision, composition
from service.watching.telemetry import Telemetry
from tests.real_parts import RedisServer
from training.studies.claims import Claim, at_least, claims_json

FIGURE = "redis_tier.png"
LEAST_SHARE = 0.9
BANKS: tuple[tuple[BankKind, int], ...] = (("random", 10), ("random", 50), ("partition", 256))
PATIENT_MS = 10_000
ROUNDS = 3


@dataclass(frozen=True)
class Subject:
    """A backbone, how often both are measured in a round, and in which precisions."""

    backbone: str
    turns: int
    precisions: tuple[Precision, ...] = ("fp16",)


QUICK = (
    Subject("lenet-300-100", 20, ("fp32", "fp16")),
    Subject("resnet-18-small", 10, ("fp32", "fp16")),
)
LONG = (*QUICK, Subject("resnet-18", 3), Subject("resnet-50", 3))


def main(
    quick: Annotated[bool, typer.Option("--quick", help="The two small backbones alone.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Draw both in there, too.")] = None,
) -> None:
    """Measure, print, and say in the exit status whether the claims hold."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    claims = []
    panels: dict[str, dict[str, float]] = {}
    with redis_on_another_core() as url:
        print(f"{'':40} {'MB':>6} {'compose':>12} {'fetch':>12}  auto fetches")
        for subject in QUICK if quick else LONG:
            for kind, size in BANKS:
                network = random_network(subject.backbone, kind, size)
                for precision in subject.precisions:
                    found, claim = asyncio.run(measured(url, network, precision, subject.turns))
                    panels.setdefault(subject.backbone, {}).update(found)
                    claims.append(claim)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / FIGURE).write_bytes(bars_png(panels, "ms"))
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


async def measured(
    url: str, network: FrozenNetwork, precision: Precision, turns: int
) -> tuple[dict[str, float], Claim]:
    """What both take in milliseconds, and the claim that the faster one is chosen."""
    telemetry = Telemetry(CollectorRegistry())
    (_, task), *_ = random_tasks(network, 1)
    compose = composition(network, precision)
    forward = ForwardPass(network, torch.device("cpu"))
    cost = measured_costs(network, compose, forward, None).compose
    link = RedisLink(url, PATIENT_MS, telemetry)
    with ThreadPoolExecutor(1) as executor:

        def tier_that(read: Read) -> RedisTier:
            options = TierOptions(read, precision)
            return RedisTier(link, network, options, cost, executor, telemetry)

        await link.start()
        always = tier_that("always")
        always.put_soon(task.content_hash, compose(task))
        await always.close()
        composing: list[float] = []
        fetching: list[float] = []
        by_auto: list[float] = []
        fetching_rounds = 0
        for _ in range(ROUNDS):
            auto = tier_that("auto")
            await auto.start()
            fetching_rounds += auto.in_use
            for _ in range(turns):
                started = perf_counter()
                compose(task)
                composing.append(perf_counter() - started)
                cost.learn(1, composing[-1])
                started = perf_counter()
                found = await always.get(task.content_hash)
                fetching.append(perf_counter() - started)
                if found is None:
                    raise LookupError(f"Redis has lost {task.content_hash}, or is too slow")
                by_auto.append((fetching if auto.in_use else composing)[-1])
            await auto.close()
        await link.close()
    composes, fetches = statistics.median(composing), statistics.median(fetching)
    manifest = network.manifest
    where = f"{manifest.backbone.name}, {manifest.bank.kind} of {manifest.bank.size}, {precision}"
    megabytes = network.composed_bytes / 1e6 / (1 if precision == "fp32" else 2)
    print(
        f"{where:40} {megabytes:6.1f} {1e3 * composes:9.2f} ms {1e3 * fetches:9.2f} ms  "
        f"{fetching_rounds} of {ROUNDS}",
        flush=True,
    )
    claim = at_least(
        f"{where}: the speed of what auto chooses, of the faster one's",
        round(min(composes, fetches) / statistics.median(by_auto), 3),
        LEAST_SHARE,
        "ratio",
    )
    bank = f"{manifest.bank.kind} of {manifest.bank.size}, {precision}"
    return {f"{bank}: compose": 1e3 * composes, f"{bank}: fetch": 1e3 * fetches}, claim


@contextmanager
def redis_on_another_core() -> Iterator[str]:
    """A server's URL; it and this process on a core each where there are two."""
    server = RedisServer()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[-1]})
        server.start()
        os.sched_setaffinity(0, {cores[0]})
    else:
        server.start()
    try:
        yield server.url
    finally:
        server.kill()


if __name__ == "__main__":
    typer.run(main)
