"""A store on S3 by a line that loses, delays and spoils answers, under two real services."""

import random
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from model_store.network import FrozenNetwork
from model_store.store import Store
from tests.chaos.steady_load import SteadyLoad, logits, right
from tests.faults import Faults
from tests.object_stores import BUCKET, FAULTS, REACHED_BY, Fault, FaultyProxy, s3_server
from tests.real_parts import running_service
from tests.service.artifacts import MakeArtifact
from tests.service.test_replicas import in_step, ready, until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

STORE = Path(f"s3://{BUCKET}/a/store")
IN_WORDS: dict[Fault, str] = {
    "unavailable": "answers of 503, with nothing done",
    "spoiled": "answers of 500, though it was done",
    "lost": "answers that are lost",
    "refused": "connections that are closed, with nothing done",
    "slow": "answers that come too late",
}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with s3_server() as endpoint, FaultyProxy(endpoint) as made:
        for name, value in (REACHED_BY | {"AWS_ENDPOINT_URL": made.endpoint}).items():
            monkeypatch.setenv(name, value)
        yield made


def test_bad_line_to_an_object_store_costs_no_prediction_and_nothing_acknowledged(
    proxy: FaultyProxy, network: FrozenNetwork, make_artifact: MakeArtifact, faults: Faults
) -> None:
    made = Store.create(STORE, network)
    for task, seed in (("masked", 99), ("task-0", 0), ("new", 50)):
        made.publish(task, make_artifact(seed))
    content, uploads = make_artifact(50).content, 10 if faults.is_long else 2
    follow = {"RECONCILE_SECONDS": "0.2"}
    all_struck, all_acknowledged = 0, set[str]()
    with running_service(STORE, **follow) as one, running_service(STORE, **follow) as other:
        both = (one, other)
        expected = {task: logits(one, task) for task in ("masked", "task-0", "new")}
        for number, fault in enumerate(FAULTS):
            dice, acknowledged, struck = random.Random(number), set[str](), 0

            def plan(_: int, fault: Fault = fault, dice: random.Random = dice) -> Fault | None:
                nonlocal struck
                strikes = not struck or dice.random() < 0.3
                struck += strikes
                return fault if strikes else None

            with loaded(both, expected) as load:
                proxy.begin(plan)
                for turn in range(uploads):
                    name = f"{fault}-{turn}"
                    put = both[turn % 2].put(f"/v1/tasks/{name}", content=content)
                    assert put.status_code in (200, 201, 503), put.text
                    if put.status_code == 503:
                        assert "retry-after" in put.headers
                    else:
                        acknowledged.add(name)
                proxy.begin(lambda _: None)
                assert until(lambda: all(ready(client)["store"] == "in step" for client in both))
                assert until(lambda: in_step(one, other))
            print(f"{fault}: {struck} times, {len(acknowledged)} of {uploads}: {load.outcomes}")
            faults.add(
                "Object store",
                IN_WORDS[fault],
                times=struck,
                checked=load.outcomes.total(),
                of="predictions",
                lost=load.lost,
            )
            assert struck
            assert load.lost == 0
            all_struck += struck
            all_acknowledged |= acknowledged
        lost = {
            task
            for task in all_acknowledged
            if not all(right(logits(client, task), expected["new"]) for client in both)
        }
    faults.add(
        "Object store",
        "each of these, at uploads to two services",
        times=all_struck,
        checked=len(all_acknowledged),
        of="acknowledged tasks, on both",
        lost=len(lost),
    )
    assert not lost
    opened = Store.open(STORE)
    uploaded = set(opened.task_ids()) - expected.keys()
    assert uploaded >= all_acknowledged
    assert all(opened.load(task).content == content for task in uploaded)


def loaded(clients: tuple[httpx2.Client, ...], expected: dict[str, bytes]) -> SteadyLoad:
    ports = [port for client in clients if (port := client.base_url.port) is not None]
    return SteadyLoad(ports, expected, callers=2)
