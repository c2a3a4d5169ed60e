"""Many times what the service can take, sent by another process that never waits."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.store import Store
from tests.chaos.watched_process import at_rest, descriptors, resident_bytes
from tests.faults import Faults
from tests.normalised_networks import normalised_artifact, normalised_network
from tests.real_parts import running_service
from training.studies.claims import at_least, at_most

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

OPEN_LOOP = Path(__file__).with_name("open_loop.py")
MORE_BYTES = 256 << 20


@dataclass(frozen=True)
class Flood:
    """What is asked for, and what the long form claims of it."""

    name: str
    rows: int
    row_length: int
    least_good: float
    most_refusal_ms: float | None


COSTLY = Flood("ten times the load that it can take, open loop", 64, 64, 0.9, 50)
"""Rows cost far more than reading and refusing them does."""
CHEAP = Flood("ten times the load of a tiny network, open loop", 256, 20, 0.5, None)
"""Reading as much is more than the event loop can do, and refusals come late."""


@pytest.fixture
def costly(tmp_path: Path) -> Store:
    network = normalised_network()
    made = Store.create(tmp_path / "costly", network)
    made.publish("masked", normalised_artifact(network, 1, kind="supermask"))
    return made


def test_ten_times_the_load_is_refused_and_what_is_taken_is_answered(
    costly: Store, tmp_path: Path, faults: Faults
) -> None:
    assert_survives(COSTLY, costly, tmp_path, faults)


def test_flood_of_what_costs_no_more_than_refusing_it_leaves_half_of_the_answers(
    store: Store, tmp_path: Path, faults: Faults
) -> None:
    assert_survives(CHEAP, store, tmp_path, faults)


def assert_survives(flood: Flood, store: Store, tmp_path: Path, faults: Faults) -> None:
    random = np.random.default_rng(22)
    rows = random.random((flood.rows, flood.row_length), dtype=np.float32).tobytes()
    seconds = 15.0 if faults.is_long else 3.0
    expected = tmp_path / "expected"
    with running_service(Path(str(store.files)), MAX_QUEUE_ROWS="2048") as client:
        headers = dict.fromkeys(("Content-Type", "Accept"), "application/octet-stream")
        path = "/v1/predict?task=masked&output=logits"
        expected.write_bytes(client.post(path, content=rows, headers=headers).content)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(rows)}\r\n\r\n"

        def send(seconds: float, rate: float, connections: int) -> dict[str, Any]:
            arguments = map(str, (client.base_url.port, seconds, rate, connections, expected))
            done = subprocess.run(
                [sys.executable, str(OPEN_LOOP), *arguments],
                input=request.encode() + rows,
                stdout=subprocess.PIPE,
                check=True,
                timeout=seconds + 60,
            )
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        most = send(seconds, 0, 4)
        assert set(most["seconds"]) == {"200"}
        most_rate = most["answered_meanwhile"] / seconds
        before = resident_bytes(client)
        open_before = descriptors(client)
        over = send(seconds, 10 * most_rate, 400)
        after = resident_bytes(client)
        rested = at_rest(client, open_before)
        again = send(1.0, most_rate / 4, 4)
        after_it = send(seconds, 0, 4)
    answered, refused = (over["seconds"].get(code, []) for code in ("200", "503"))
    others = sum(map(len, over["seconds"].values())) - len(answered) - len(refused)
    lost = over["unanswered"] + over["wrong"] + over["without_retry_after"] + others
    # Of what it was before and is after: the machine may have had more to do at one of them.
    mean = (most["answered_meanwhile"] + after_it["answered_meanwhile"]) / 2
    good = over["answered_meanwhile"] / mean
    slowest = float(np.quantile(refused, 0.99)) if refused else None
    print(
        f"alone {most_rate:.0f} a second; sent {over['sent'] / seconds:.0f} a second, "
        f"{good:.2f} of the most were answered, {len(refused)} refused, "
        f"99 % of them within {1000 * (slowest or 0):.1f} ms; "
        f"{(after - before) / 2**20:.1f} MiB more"
    )
    faults.add(
        "Service",
        flood.name,
        times=over["sent"],
        checked=over["sent"],
        of="answers, right or 503 with Retry-After",
        lost=lost,
    )
    faults.claim(
        at_least(f"goodput at {flood.name}, of the most", round(good, 3), flood.least_good, "ratio")
    )
    if flood.most_refusal_ms is not None:
        slowest_ms = None if slowest is None else round(1000 * slowest, 1)
        said = f"99 % of refusals at {flood.name}"
        faults.claim(at_most(said, slowest_ms, flood.most_refusal_ms, "ms"))
    assert lost == 0
    assert refused
    assert after - before < MORE_BYTES
    assert rested
    assert again["unanswered"] == again["wrong"] == 0
    assert set(again["seconds"]) == {"200"}
