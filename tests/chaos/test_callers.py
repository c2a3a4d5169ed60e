"""Callers who misbehave, by the thousand, on a real service: nobody else suffers, nothing leaks."""

import asyncio
import random
import resource
import socket
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from model_store.store import Store
from tests.chaos.steady_load import HEADERS, ROWS, SteadyLoad, logits, path, right
from tests.chaos.watched_process import at_rest, descriptors
from tests.faults import Faults
from tests.real_parts import ServiceProcess, running, running_service
from tests.service.artifacts import MakeArtifact
from tests.service.test_replicas import sample, until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

TASKS = ("masked", "task-0", "task-1", "task-2")
BEGINNINGS = (
    b"",
    b"GET /readyz HTTP/1.1\r\nHost: x\r\n",
    b"POST /v1/predict?task=masked HTTP/1.1\r\nHost: x\r\nContent-Length: 160\r\n"
    b"Content-Type: application/octet-stream\r\n\r\nabc",
    b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/json\r\n\r\n5\r\n{",
)


def test_thousands_who_begin_and_never_end_are_ended_and_hurt_nobody(
    store: Store, faults: Faults
) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 512
    count = min(10_000 if faults.is_long else 1_000, allowed)
    with running_service(Path(str(store.files)), SLOW_CALLER_SECONDS="3") as client:
        expected = {task: logits(client, task) for task in TASKS}
        before, port = descriptors(client), client.base_url.port
        assert port is not None
        with SteadyLoad([port], expected) as load, ExitStack() as kept:
            for number in range(count):
                opened = kept.enter_context(socket.create_connection(("127.0.0.1", port), 10))
                opened.sendall(BEGINNINGS[number % len(BEGINNINGS)])
                opened.setblocking(False)
            ended = until(lambda: sample(client, 'impress_rejected_total{reason="slow"}') == count)
            rested = until(lambda: descriptors(client) <= before + 5)
        assert at_rest(client, before)
    print(f"{count} connections; others: {dict(load.outcomes)}")
    faults.add(
        "Service",
        "connections that send nothing, part of a head or part of a body, and stay",
        times=count,
        checked=load.outcomes.total(),
        of="answers to others",
        lost=load.lost,
    )
    assert (ended, rested) == (True, True)
    assert load.lost == 0
    assert load.outcomes.total() > 50


class FromAShell(ServiceProcess):
    """As most shells start one: few files, and more where it asks for them."""

    before = ("sh", "-c", 'ulimit -Sn 200; exec "$@"', "sh")


def test_service_takes_as_many_connections_as_it_may_have_and_not_as_many_as_a_shell_says(
    store: Store, faults: Faults
) -> None:
    with running(FromAShell(Path(str(store.files)))) as client, ExitStack() as kept:
        for _ in range(300):
            kept.enter_context(socket.create_connection(("127.0.0.1", client.base_url.port), 10))
        taken = until(lambda: descriptors(client) > 300)
        faults.add(
            "Service",
            "started by a shell that allows 200 files",
            times=1,
            checked=300,
            of="connections at once",
            lost=0 if taken else 300 - descriptors(client),
        )
        assert taken
        assert client.get("/readyz").status_code == 200


def test_service_without_descriptors_goes_on_with_the_connections_that_it_has(
    store: Store, faults: Faults, make_artifact: MakeArtifact
) -> None:
    with running_service(Path(str(store.files)), SLOW_CALLER_SECONDS="2") as client:
        expected = {task: logits(client, task) for task in TASKS}
        before, port = descriptors(client), client.base_url.port
        assert port is not None
        most = before + 40
        pid = int(client.headers["X-Pid"])
        with SteadyLoad([port], expected) as load:
            assert until(lambda: descriptors(client) >= before + 3)
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
            with ExitStack() as kept:
                for _ in range(200):
                    opened = kept.enter_context(socket.socket())
                    opened.setblocking(False)
                    opened.connect_ex(("127.0.0.1", port))
                assert until(lambda: descriptors(client) >= most - 1)
                time.sleep(1)
                put = client.put("/v1/tasks/new", content=make_artifact(50).content)
                assert put.status_code in (201, 503), put.text
            assert until(lambda: descriptors(client) <= before + 5)
        again = client.put("/v1/tasks/later", content=make_artifact(51).content)
        assert again.status_code == 201
        assert at_rest(client, before)
    faults.add(
        "Service",
        "more connections than it may have descriptors",
        times=200,
        checked=load.outcomes.total(),
        of="answers on connections that were there",
        lost=load.lost,
    )
    print(dict(load.outcomes))
    assert load.lost == 0


def test_half_of_all_callers_leave_at_random_moments_and_the_others_are_answered(
    store: Store, faults: Faults
) -> None:
    seconds = 60.0 if faults.is_long else 4.0
    outcomes: Counter[str] = Counter()
    json = b'{"task": "task-1", "inputs": %s}' % str(ROWS.tolist()).encode()

    def request(task: str, dice: random.Random) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        target, body = path(task), ROWS.tobytes()
        if dice.random() < 0.2:
            target, body = "/v1/predict", json
            lines = "Content-Type: application/json\r\n"
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def call(port: int, number: int, expected: dict[str, bytes]) -> None:
        dice, until_then = random.Random(number), asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until_then:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(dice.randint(1, 20)):
                task = dice.choice(TASKS)
                whole = request(task, dice)
                if dice.random() < 0.5:
                    writer.write(
                        whole[: dice.randint(1, len(whole))] if dice.random() < 0.3 else whole
                    )
                    await asyncio.sleep(dice.choice((0, 0.001, 0.004)))
                    outcomes["left"] += 1
                    if dice.random() < 0.5:
                        writer.transport.abort()
                    break
                writer.write(whole)
                head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).lower()
                length = int(head.partition(b"\ncontent-length:")[2].partition(b"\r")[0])
                body = await reader.readexactly(length)
                is_json = b"json" in head
                good = b" 200 " in head and (is_json or right(body, expected[task]))
                outcomes["right" if good else f"wrong: {head[:100]!r}"] += 1
            writer.close()

    async def all_call(port: int, expected: dict[str, bytes]) -> None:
        await asyncio.gather(*(call(port, number, expected) for number in range(16)))

    with running_service(Path(str(store.files))) as client:
        expected = {task: logits(client, task) for task in TASKS}
        before, port = descriptors(client), client.base_url.port
        assert port is not None
        asyncio.run(all_call(port, expected))
        rested = at_rest(client, before)
        failed = [
            line
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("impress_http_requests_total{") and 'code="5' in line
        ]
        single = np.frombuffer(logits(client, "task-0"), np.float32)
    stayed = outcomes.total() - outcomes["left"]
    print(dict(outcomes))
    faults.add(
        "Service",
        "callers who leave at random moments, within a request or before its answer",
        times=outcomes["left"],
        checked=stayed,
        of="answers to those who stayed",
        lost=stayed - outcomes["right"],
    )
    assert stayed == outcomes["right"] > 50
    assert outcomes["left"] > 50
    assert rested
    assert not failed
    assert np.isfinite(single).all()
