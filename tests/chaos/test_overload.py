"""Many times what the service can take, sent by another process that never waits."""

import json
import subprocess
import sys
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

ROWS = np.random.default_rng(22).random((64, 64), dtype=np.float32).tobytes()
OPEN_LOOP = Path(__file__).with_name("open_loop.py")
MORE_BYTES = 256 << 20


def test_ten_times_the_load_is_refused_and_what_is_taken_is_answered(
    tmp_path: Path, faults: Faults
) -> None:
    """On a network whose rows cost far more than reading and refusing them does."""
    network = normalised_network()
    store = Store.create(tmp_path / "store", network)
    store.publish("masked", normalised_artifact(network, 1, kind="supermask"))
    seconds = 15.0 if faults.is_long else 3.0
    expected = tmp_path / "expected"
    with running_service(Path(str(store.files)), MAX_QUEUE_ROWS="2048") as client:
        headers = dict.fromkeys(("Content-Type", "Accept"), "application/octet-stream")
        path = "/v1/predict?task=masked&output=logits"
        expected.write_bytes(client.post(path, content=ROWS, headers=headers).content)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(ROWS)}\r\n\r\n"

        def send(seconds: float, rate: float, connections: int) -> dict[str, Any]:
            arguments = map(str, (client.base_url.port, seconds, rate, connections, expected))
            done = subprocess.run(
                [sys.executable, str(OPEN_LOOP), *arguments],
                input=request.encode() + ROWS,
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
    answered, refused = (over["seconds"].get(code, []) for code in ("200", "503"))
    others = sum(map(len, over["seconds"].values())) - len(answered) - len(refused)
    lost = over["unanswered"] + over["wrong"] + over["without_retry_after"] + others
    good = over["answered_meanwhile"] / seconds / most_rate
    slowest = float(np.quantile(refused, 0.99)) if refused else None
    print(
        f"alone {most_rate:.0f} a second; sent {over['sent'] / seconds:.0f} a second, "
        f"{good:.2f} of the most were answered, {len(refused)} refused, "
        f"99 % of them within {1000 * (slowest or 0):.1f} ms; "
        f"{(after - before) / 2**20:.1f} MiB more"
    )
    faults.add(
        "Service",
        "ten times the load that it can take, open loop",
        times=over["sent"],
        checked=over["sent"],
        of="answers, right or 503 with Retry-After",
        lost=lost,
    )
    faults.claim(
        at_least("goodput at ten times the load, of the most", round(good, 3), 0.9, "ratio")
    )
    slowest_ms = None if slowest is None else round(1000 * slowest, 1)
    faults.claim(at_most("99 % of refusals at ten times the load", slowest_ms, 50, "ms"))
    assert lost == 0
    assert refused
    assert after - before < MORE_BYTES
    assert rested
    assert again["unanswered"] == again["wrong"] == 0
    assert set(again["seconds"]) == {"200"}
