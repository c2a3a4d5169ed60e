"""Whatever strangers upload: refused in words, nothing changed, and the service right after it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_store.store import Store
from model_store.verify import verify_store
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.service.artifacts import MakeArtifact
from tests.service.hostile_uploads import COUNT, Upload, corpus

MAX_BODY_BYTES = 150_000


@pytest.fixture(scope="module")
def uploads(make_artifact: MakeArtifact) -> list[Upload]:
    kinds = ("coefficients", "hybrid", "supermask")
    return corpus([make_artifact(7, kind) for kind in kinds], MAX_BODY_BYTES)


def test_uploads_are_many_and_hardly_any_is_there_twice(uploads: list[Upload]) -> None:
    assert len(uploads) == COUNT
    different = {(one.body, tuple(one.headers.items()), one.name) for one in uploads}
    assert len(different) > 0.97 * COUNT
    assert len(Counter(one.kind for one in uploads)) >= 18


def answered(client: TestClient, ask: dict[str, object]) -> list[object]:
    """The version, the labels, and how probable each is."""
    answer = client.post("/v1/predict", json=ask).json()
    chances = [one["probability"] for one in answer["predictions"]]
    labels = [one["label"] for one in answer["predictions"]]
    return [answer["version"], *labels, *chances]


def versions(client: TestClient) -> list[tuple[str, str]]:
    """Of every task; how often each was used changes with what is asked here."""
    tasks = client.get("/v1/tasks").json()["tasks"]
    return [(one["task"], one["version"]) for one in tasks]


def test_no_hostile_upload_is_taken_or_breaks_anything(store: Store, uploads: list[Upload]) -> None:
    folder = Path(str(store.files))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rows = np.random.default_rng(1).random((4, 20)).tolist()
    ask = {"task": "task-0", "inputs": rows}
    settings = Settings(store=folder, max_body_bytes=MAX_BODY_BYTES)
    with TestClient(create_app(settings, Readiness()), raise_server_exceptions=False) as client:
        version, *labelled = answered(client, ask)
        labels, chances = labelled[: len(rows)], labelled[len(rows) :]
        # Which path computes rows decides the last bits.
        expected = [version, *labels, *(pytest.approx(one, rel=1e-4) for one in chances)]
        listed = versions(client)
        for index, one in enumerate(uploads):
            path = f"/v1/tasks/{one.name}"
            told = f"upload {index}, {one.kind}"
            answer = client.put(path, content=one.body, headers=one.headers)
            assert 400 <= answer.status_code < 500, f"{told}: {answer.status_code} {answer.text}"
            assert answer.headers["content-type"] == "application/problem+json", told
            assert len(answer.content) < 8000, told
            trial = client.post(f"{path}:validate", content=one.body, headers=one.headers)
            assert trial.status_code < 500, f"{told}: {trial.text}"
            assert trial.status_code != 200 or trial.json()["problems"], told
            if index % 50 == 0:
                assert answered(client, ask) == expected, told
        assert answered(client, ask) == expected
        assert versions(client) == listed
        assert client.get("/readyz").status_code == 200
        assert "impress_tasks_damaged 0.0" in client.get("/metrics").text
    assert {path: path.read_bytes() for path in before} == before
    verification = verify_store(folder)
    assert (verification.tasks, verification.findings) == (5, ())
