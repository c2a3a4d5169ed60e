"""Replicas behind a real nginx with the configuration that is shipped: restarts cost no request."""

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest

from model_store.store import Store
from tests.real_parts import ServiceProcess, free_port, program

pytestmark = pytest.mark.slow

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "impress.conf"
ROW = np.random.default_rng(8).random(20, dtype=np.float32).tobytes()
HEADERS = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}


@contextmanager
def nginx_before(services: list[ServiceProcess], folder: Path) -> Iterator[str]:
    port = free_port()
    server = CONFIGURATION.read_text().replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    shipped = "".join(f"    server 127.0.0.1:800{index} max_fails=0;\n" for index in (1, 2))
    assert shipped in server
    ours = (f"    server 127.0.0.1:{service.port} max_fails=0;\n" for service in services)
    server = server.replace(shipped, "".join(ours))
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off;\npid {folder}/pid;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{server}\n}}\n"
    )
    log = folder / "error.log"
    command = [str(program("nginx", "nginx")), "-c", str(whole), "-p", str(folder), "-e", str(log)]
    process = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 10
        while True:
            try:
                assert httpx2.get(f"{url}/livez").status_code == 200
                break
            except httpx2.TransportError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


async def under_load(url: str, work: "asyncio.Future[None]") -> Counter[str]:
    """What became of requests from eight connections while `work` went on, and a little longer."""
    outcomes: Counter[str] = Counter()

    async def ask(client: httpx2.AsyncClient) -> str:
        try:
            answer = await client.post(
                "/v1/predict?task=masked&output=logits", content=ROW, headers=HEADERS
            )
        except httpx2.TransportError as error:
            return repr(error)
        return answer.content.hex() if answer.status_code == 200 else answer.text

    async def keep_asking() -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
            while not work.done():
                outcomes[await ask(client)] += 1

    await asyncio.gather(work, *(keep_asking() for _ in range(8)))
    return outcomes


def outcomes_of(
    work: Callable[[], None], services: list[ServiceProcess], folder: Path
) -> Counter[str]:
    """What became of requests while `work` was done to the services behind nginx."""

    async def load(url: str) -> Counter[str]:
        return await under_load(url, asyncio.ensure_future(asyncio.to_thread(work)))

    try:
        for service in services:
            service.start()
        with nginx_before(services, folder) as url:
            return asyncio.run(load(url))
    finally:
        for service in services:
            service.stop()


def test_rolling_restart_under_load_fails_no_request(store: Store, tmp_path: Path) -> None:
    services = [ServiceProcess(Path(str(store.files)), DRAIN_SECONDS="0.5") for _ in range(2)]
    ends: list[int] = []

    def roll() -> None:
        for service in services * 2:
            time.sleep(0.5)
            ends.append(service.stop())
            service.start()
        time.sleep(0.5)

    outcomes = outcomes_of(roll, services, tmp_path)
    print(f"{outcomes.total()} requests over four restarts")
    assert ends == [0, 0, 0, 0]
    # The same bits every time, from either replica.
    assert len(outcomes) == 1, outcomes
    assert outcomes.total() > 200


def test_killed_replica_costs_no_request_that_asks_again(store: Store, tmp_path: Path) -> None:
    services = [ServiceProcess(Path(str(store.files))) for _ in range(2)]

    def kill_one() -> None:
        time.sleep(0.5)
        services[0].kill()
        time.sleep(2)

    outcomes = outcomes_of(kill_one, services, tmp_path)
    assert len(outcomes) == 1, outcomes
    assert outcomes.total() > 100
