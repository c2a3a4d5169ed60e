"""A shared Redis that fails in every way there is, under steady load on two replicas."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis

from model_store.store import Store
from tests.chaos.steady_load import SteadyLoad, logits
from tests.faults import Faults
from tests.real_parts import RedisServer, running_service
from tests.service.artifacts import MakeArtifact
from tests.service.test_replicas import answers, in_step, ready, sample, until
from training.studies.claims import at_most

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

Break = Callable[[RedisServer, float], None]


def _client(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=5)


def killed(server: RedisServer, seconds: float) -> None:
    server.kill()
    time.sleep(seconds)
    server.start()


def paused(server: RedisServer, seconds: float) -> None:
    with server.paused():
        time.sleep(seconds)


def slow(server: RedisServer, seconds: float) -> None:
    until_then = time.monotonic() + seconds
    with _client(server) as own:
        while time.monotonic() < until_then:
            own.execute_command("DEBUG", "SLEEP", "0.08")


def out_of_memory(server: RedisServer, seconds: float) -> None:
    with _client(server) as own:
        own.config_set("maxmemory", "1mb")
        own.config_set("maxmemory-policy", "noeviction")
        time.sleep(seconds)
        own.config_set("maxmemory", "0")


def wrong_password(server: RedisServer, seconds: float) -> None:
    with _client(server) as own:
        own.config_set("requirepass", "another")
        own.execute_command("AUTH", "another")
        own.client_kill_filter(_type="normal", skipme=True)
        time.sleep(seconds)
        own.config_set("requirepass", "")


def emptied_and_trimmed(server: RedisServer, seconds: float) -> None:
    until_then = time.monotonic() + seconds
    with _client(server) as own:
        while time.monotonic() < until_then:
            for key in own.scan_iter("impress:changes:*"):
                own.xtrim(key, maxlen=0)
            own.flushall()
            time.sleep(0.05)


def replaced_by_garbage(server: RedisServer, seconds: float) -> None:
    server.kill()
    with garbage(server.port):
        time.sleep(seconds)
    server.start()


@contextmanager
def garbage(port: int) -> Iterator[None]:
    """Answers whatever comes with what is no answer of Redis'."""
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0.2)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(4096):
                        return
                    connection.sendall(b"$12\r\nHTTP/1.1 418\r\n\x00\xff*-7\r\n:x\r\n")

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        listening.settimeout(0.1)

        def accept() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    threading.Thread(target=answer, args=(listening.accept()[0],)).start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield
        stop.set()
        accepting.join()


FAULTS: dict[str, Break] = {
    "killed, and empty when it comes back": killed,
    "paused (SIGSTOP)": paused,
    "slower than a call may take": slow,
    "out of memory": out_of_memory,
    "asking for another password": wrong_password,
    "emptied, its stream trimmed": emptied_and_trimmed,
    "replaced by a program that answers garbage": replaced_by_garbage,
}


def test_no_fault_of_redis_costs_a_prediction_and_replicas_are_in_step_after_it(
    store: Store, own_redis: RedisServer, make_artifact: MakeArtifact, faults: Faults
) -> None:
    """The store is looked at so seldom that what replicas know of each other came by Redis."""
    folder, turns = Path(str(store.files)), 5 if faults.is_long else 1
    seconds = 3.0 if faults.is_long else 1.2
    for seed in range(200, 212):
        store.publish(f"load-{seed}", make_artifact(seed, kind="supermask"))
    # A cache too small for the tasks that are asked for, so that Redis is asked all the time.
    settings = {"REDIS_URL": own_redis.url, "CACHE_BYTES": "300000", "REDIS_READ": "always"}
    settings |= {"RECONCILE_SECONDS": "3600", "REDIS_WARM_SECONDS": "0"}
    lost_in_all = 0
    with running_service(folder, **settings) as one, running_service(folder, **settings) as other:
        ports = [client.base_url.port for client in (one, other)]
        expected = {f"load-{seed}": logits(one, f"load-{seed}") for seed in range(200, 212)}
        expected["task-0"] = logits(one, "task-0")

        def up() -> bool:
            return "up" == ready(one)["redis"] == ready(other)["redis"]

        def load() -> SteadyLoad:
            return SteadyLoad([port for port in ports if port is not None], expected, callers=2)

        for number, (name, fault) in enumerate(FAULTS.items()):
            # Right before, since what else the machine has to do comes and goes.
            assert until(up)
            with load() as quiet:
                time.sleep(seconds)
            if not number:
                assert sample(one, 'impress_cache_hits_total{tier="redis"}') > 0
            steps = []
            with load() as under:
                for turn in range(turns):
                    assert until(up)
                    fault(own_redis, seconds)
                    back = time.monotonic()
                    task = f"after-{number}-{turn}"
                    put = one.put(f"/v1/tasks/{task}", content=make_artifact(turn).content)
                    assert put.status_code == 201
                    assert until(lambda task=task: answers(other, task))  # type: ignore[misc]
                    steps.append(time.monotonic() - back)
                    assert until(up)
                    assert until(lambda: in_step(one, other))
            connections = _connections_made(own_redis)
            slowest, usual = (float(np.quantile(x.seconds, 0.99)) for x in (under, quiet))
            print(
                f"{name}: {dict(under.outcomes)}, in step after {max(steps):.2f} s, p99 "
                f"{1000 * slowest:.1f} ms, {1000 * usual:.1f} without, {connections} connections"
            )
            faults.add(
                "Redis",
                name,
                times=turns,
                checked=under.outcomes.total(),
                of="predictions",
                lost=under.lost,
            )
            lost_in_all += under.lost
            in_step_after = round(max(steps), 2)
            faults.claim(at_most(f"Redis {name}: replicas in step after", in_step_after, 1, "s"))
            faults.claim(
                at_most(
                    f"Redis {name}: p99 over that without", round(slowest / usual, 2), 2, "ratio"
                )
            )
            assert connections < 64 * (turns + 1), "a storm of connections"
    assert lost_in_all == 0


def _connections_made(server: RedisServer) -> int:
    """Since it was started, or asked this last."""
    with _client(server) as own:
        made = int(own.info("stats")["total_connections_received"])
        own.config_resetstat()
        return made
