"""Three replicas behind a real nginx, restarted and killed under load."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from model_store.store import Store
from tests.chaos.steady_load import SteadyLoad, logits, right
from tests.faults import Faults
from tests.real_parts import ServiceProcess
from tests.service.artifacts import MakeArtifact
from tests.service.test_behind_proxy import nginx_before
from tests.service.test_replicas import until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

BEFORE = ("masked", "task-0", "task-1")


@contextmanager
def three_replicas(
    store: Store, folder: Path
) -> Iterator[tuple[list[ServiceProcess], httpx2.Client]]:
    """Their processes, and a client of the nginx before them."""
    settings = {"DRAIN_SECONDS": "0.5", "RECONCILE_SECONDS": "0.1"}
    services = [ServiceProcess(Path(str(store.files)), **settings) for _ in range(3)]
    try:
        start(services)
        with (
            nginx_before(services, folder) as url,
            httpx2.Client(base_url=url, timeout=20) as client,
        ):
            yield services, client
    finally:
        for service in services:
            service.kill()


def start(services: list[ServiceProcess]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(ServiceProcess.start, services))


def loaded(ports: list[int | None], expected: dict[str, bytes], callers: int) -> SteadyLoad:
    return SteadyLoad([port for port in ports if port is not None], expected, callers)


def test_rolling_restart_of_three_replicas_under_load_fails_no_request(
    store: Store, tmp_path: Path, faults: Faults
) -> None:
    rounds = 3 if faults.is_long else 1
    ends = []
    with three_replicas(store, tmp_path) as (services, client):
        expected = {task: logits(client, task) for task in BEFORE}
        with loaded([client.base_url.port], expected, callers=4) as load:
            for service in services * rounds:
                ends.append(service.stop())
                service.start()
    print(f"{len(ends)} restarts: {dict(load.outcomes)}")
    faults.add(
        "Replicas",
        "one after the other of three restarted, behind nginx",
        times=len(ends),
        checked=load.outcomes.total(),
        of="answers",
        lost=load.lost,
    )
    assert load.lost == 0
    assert load.outcomes["right"] > 100
    assert set(ends) == {0}


def test_killed_replica_costs_what_it_had_under_way_and_comes_back_with_every_task(
    store: Store, tmp_path: Path, make_artifact: MakeArtifact, faults: Faults
) -> None:
    """Callers of nginx lose nothing, for it asks another; callers of its own a request each."""
    callers, most_under_way, kills = 3, 0, 0
    store.publish("new", make_artifact(50))
    content = make_artifact(50).content
    with three_replicas(store, tmp_path) as (services, client):
        expected = {task: logits(client, task) for task in (*BEFORE, "new")}
        with loaded([client.base_url.port], expected, callers) as load:
            for victim in services * 3 if faults.is_long else services[:1]:
                with loaded([victim.port], expected, callers) as own:
                    assert until(lambda own=own: own.outcomes["right"] > 20)  # type: ignore[misc]
                    # Acknowledged by whichever replica, a moment before one of them is gone.
                    client.put(f"/v1/tasks/new-{kills}", content=content).raise_for_status()
                    victim.kill()
                    kills += 1
                most_under_way = max(most_under_way, cut_off(own))
                victim.start()
        for service in services:
            service.kill()
        start(services)
        expected |= {f"new-{number}": expected["new"] for number in range(kills)}
        lost_tasks = sum(
            not right(answer, expected[task])
            for service in services
            for task, answer in answers_of(service, expected).items()
        )
    print(f"{kills} kills: {dict(load.outcomes)}, {most_under_way} cut off at most")
    faults.add(
        "Replicas",
        "one of three killed (kill -9), behind nginx",
        times=kills,
        checked=load.outcomes.total(),
        of="answers",
        lost=load.lost,
    )
    faults.add(
        "Replicas",
        "each killed in its turn, then all three at once, and started again",
        times=kills + 3,
        checked=3 * len(expected),
        of="tasks, as they were, on every replica",
        lost=lost_tasks,
    )
    assert load.lost == 0
    # What a caller waited for, and what it sent while the connection was not yet gone.
    assert most_under_way <= 2 * callers
    assert lost_tasks == 0


def cut_off(load: SteadyLoad) -> int:
    """Requests that were begun and not answered; where nobody listens none begins."""
    refused = sum(
        times for said, times in load.outcomes.items() if said.startswith("ConnectionRefusedError")
    )
    return load.lost - refused


def answers_of(service: ServiceProcess, tasks: Iterable[str]) -> dict[str, bytes]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=20) as client:
        return {task: logits(client, task) for task in tasks}
