"""A task replaced again and again under load: nobody gets an older version after its 200."""

import threading
from collections import Counter
from itertools import combinations
from pathlib import Path

import httpx2
import pytest

from model_store.store import Store
from tests.chaos.steady_load import logits, right
from tests.faults import Faults
from tests.real_parts import running_service
from tests.service.artifacts import MakeArtifact

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

VERSIONS = 8


def test_replaced_task_never_answers_from_an_earlier_version_after_its_200(
    store: Store, make_artifact: MakeArtifact, faults: Faults
) -> None:
    """The versions are random masks, whose answers are nowhere near each other."""
    replacements = 1_000 if faults.is_long else 60
    artifacts = [make_artifact(seed, kind="supermask") for seed in range(300, 300 + VERSIONS)]
    replaced = 0
    """How often it was, by what was acknowledged."""
    asked: Counter[str] = Counter()
    stop = threading.Event()
    with running_service(Path(str(store.files)), CACHE_BYTES="600000") as client:

        def replace(turn: int) -> None:
            content = artifacts[turn % VERSIONS].content
            assert client.put("/v1/tasks/turning", content=content).status_code in (200, 201)

        expected = []
        for turn in range(VERSIONS):
            replace(turn)
            expected.append(logits(client, "turning"))
        assert not any(right(one, other) for one, other in combinations(expected, 2))

        def ask() -> None:
            with httpx2.Client(base_url=client.base_url, timeout=20) as own:
                while not stop.is_set():
                    earliest = replaced
                    try:
                        answer = logits(own, "turning")
                    except (AssertionError, httpx2.HTTPError) as error:
                        asked[repr(error)] += 1
                        continue
                    # One replacement may have been under way when that was asked, or begun since.
                    latest = replaced + 1
                    fresh = [expected[turn % VERSIONS] for turn in range(earliest, latest + 1)]
                    asked["fresh" if any(right(answer, one) for one in fresh) else "stale"] += 1

        replace(0)
        callers = [threading.Thread(target=ask) for _ in range(3)]
        for caller in callers:
            caller.start()
        for turn in range(1, replacements + 1):
            replace(turn)
            replaced = turn
        stop.set()
        for caller in callers:
            caller.join()
        last = logits(client, "turning")
    print(dict(asked))
    faults.add(
        "Numbers",
        "a task replaced under load",
        times=replacements,
        checked=asked.total(),
        of="answers, never from a version before the last acknowledged",
        lost=asked.total() - asked["fresh"],
    )
    assert set(asked) == {"fresh"}
    assert asked["fresh"] > replacements / 2
    assert right(last, expected[replacements % VERSIONS])
