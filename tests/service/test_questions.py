"""What may be asked of task inference through the routes, of tasks that know their inputs."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import tagged
from service.app import create_app
from service.engine.inference.identification import METHODS
from service.readiness import Readiness
from service.settings import Settings
from tests.service.artifacts import MakeArtifact
from tests.service.engine.known_inputs import knowing, rows_of

TASKS = 8
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def known_store(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, make_artifact: MakeArtifact
) -> Store:
    store = Store.create(tmp_path_factory.mktemp("questions") / "store", network)
    for number in range(TASKS):
        known = knowing(network, make_artifact(number), number)
        tags = ["even" if number % 2 == 0 else "odd", f"half:{number // 4}"]
        store.publish(f"known-{number}", tagged(known, tags))
    return store


@pytest.fixture(scope="module")
def client(known_store: Store) -> Iterator[TestClient]:
    # Single rows of their own tasks are to be named in most tests, however unusual they are.
    settings = Settings(store=Path(str(known_store.files)), inference_false_acceptance=0.3)
    with TestClient(create_app(settings, Readiness()), raise_server_exceptions=False) as client:
        yield client


def asked(client: TestClient, rows: np.ndarray, **said: Any) -> dict[str, Any]:
    answer = client.post("/v1/predict", json={"inputs": rows.tolist(), **said})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_as_many_tasks_are_told_of_as_are_asked_for_the_most_probable_first(
    client: TestClient,
) -> None:
    for top in (1, 3, TASKS, TASKS + 1):
        inference = asked(client, rows_of(5, 1), top=top)["inference"]
        found = inference["candidates"]
        assert len({one["task"] for one in found}) == min(top, TASKS)
        assert found[0]["task"] == "known-5"
        probabilities = [one["probability"] for one in found]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1 + 1e-6
        assert probabilities[0] == inference["confidence"]
        assert all(one["entropy_nats"] >= 0 for one in found)
    assert sum(probabilities) == pytest.approx(1)


def test_what_a_query_asks_holds_beside_json_unless_that_says_otherwise(client: TestClient) -> None:
    def ask(query: str, **said: Any) -> dict[str, Any]:
        answer = client.post(
            f"/v1/predict?{query}", json={"inputs": rows_of(2, 4).tolist(), **said}
        )
        document: dict[str, Any] = answer.json()
        return document

    assert ask("method=binary")["inference"]["method"] == "binary"
    assert ask("method=binary", method="exhaustive")["inference"]["method"] == "exhaustive"
    assert len(ask("top=3")["inference"]["candidates"]) == 3
    assert len(ask("top=3", top=2)["inference"]["candidates"]) == 2
    assert len(ask("per_row=true")["rows"]) == 4
    odd = ask("tags=odd&top=8")["inference"]["candidates"]
    assert {one["task"] for one in odd} == {f"known-{number}" for number in range(1, TASKS, 2)}
    first = ask("tags=odd&top=8", candidates={"prefix": "known-2"})["inference"]["candidates"]
    assert [one["task"] for one in first] == ["known-2"]
    assert ask("method=nothing")["status"] == 422


def test_a_query_asks_as_json_does(client: TestClient) -> None:
    rows = rows_of(2, 3)
    expected = asked(client, rows, top=4, method="exhaustive")
    assert len(expected["inference"]["candidates"]) == 4
    assert expected["inference"]["method"] == "exhaustive"
    url = "/v1/predict?top=4&method=exhaustive"
    assert client.post(url, content=rows.tobytes(), headers=RAW).json() == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top", 0),
        ("top", 33),
        ("top", 1.5),
        ("top", "many"),
        ("top", True),
        ("method", "guess"),
        ("per_row", "maybe"),
        ("per_row", 7),
        ("session", ""),
        ("session", "x" * 129),
        ("session_start", "maybe"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_by_its_name(
    client: TestClient, field: str, value: object
) -> None:
    rows = rows_of(1, 1)
    by_json = client.post("/v1/predict", json={"inputs": rows.tolist(), field: value})
    by_query = client.post(
        "/v1/predict", params={field: str(value)}, content=rows.tobytes(), headers=RAW
    )
    for answer in (by_json, by_query):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(field)


@pytest.mark.parametrize(
    ("candidates", "query", "expected"),
    [
        ({"tags": ["even"]}, {"tags": "even"}, [0, 2, 4, 6]),
        ({"tags": ["even", "half:1"]}, {"tags": "even,half:1"}, [4, 6]),
        ({"tags": ["half:1", "even", "even"]}, {"tags": "half:1,even"}, [4, 6]),
        ({"prefix": "known-3"}, {"prefix": "known-3"}, [3]),
        ({"prefix": "known-", "tags": ["odd"]}, {"tags": "odd", "prefix": "known-"}, [1, 3, 5, 7]),
    ],
)
@pytest.mark.parametrize("per_row", [False, True])
def test_only_candidates_may_be_the_answer_and_they_are_listed_so(
    client: TestClient,
    candidates: dict[str, Any],
    query: dict[str, str],
    expected: list[int],
    per_row: bool,
) -> None:
    names = [f"known-{number}" for number in expected]
    listed = client.get("/v1/tasks", params=query).json()["tasks"]
    assert [one["task"] for one in listed] == names
    rows = rows_of(expected[-1], 2)
    found = asked(client, rows, candidates=candidates, top=TASKS, per_row=per_row)
    by_query = client.post(
        "/v1/predict",
        params={**query, "top": TASKS, "per_row": str(per_row).lower()},
        content=rows.tobytes(),
        headers=RAW,
    )
    assert by_query.json() == found
    for answer in found["rows"] if per_row else [found]:
        assert answer["inference"]["candidates"][0]["task"] == names[-1]
        told = [one["task"] for one in answer["inference"]["candidates"]]
        assert sorted(told) == names


def test_owner_that_is_no_candidate_is_not_named(client: TestClient) -> None:
    rows = rows_of(5, 16)
    assert asked(client, rows)["task"] == "known-5"
    found = asked(client, rows, candidates={"tags": ["even"]})
    assert found["task"] is None
    assert found["inference"]["abstained"]


def test_no_task_is_unknown_where_none_is_a_candidate(client: TestClient) -> None:
    body = {"inputs": rows_of(1, 1).tolist(), "candidates": {"tags": ["none"], "prefix": "x"}}
    answer = client.post("/v1/predict", json=body)
    assert answer.status_code == 404
    assert "the tags none and a name that begins with 'x'" in answer.json()["detail"]
    assert client.get("/v1/tasks", params={"tags": "none"}).json()["tasks"] == []


@pytest.mark.parametrize(
    ("candidates", "query", "said"),
    [
        ({"tags": ["a b"]}, {"tags": "a b"}, "tags"),
        ({"tags": [""]}, {"tags": "a,"}, "tags"),
        ({"tags": [f"t{n}" for n in range(17)]}, {"tags": ",".join(f"t{n}" for n in range(17))},
         "tags"),
        ({"prefix": "x" * 129}, {"prefix": "x" * 129}, "prefix"),
    ],
)  # fmt: skip
def test_candidates_that_cannot_be_are_refused_in_words(
    client: TestClient, candidates: dict[str, Any], query: dict[str, str], said: str
) -> None:
    rows = rows_of(1, 1)
    answers = [
        client.post("/v1/predict", json={"inputs": rows.tolist(), "candidates": candidates}),
        client.post("/v1/predict", params=query, content=rows.tobytes(), headers=RAW),
        client.get("/v1/tasks", params=query),
    ]
    for answer in answers:
        assert answer.status_code == 422
        assert said in answer.json()["detail"]


def test_rows_of_different_tasks_are_each_answered_by_their_own(client: TestClient) -> None:
    owners = [3, 0, 7, 3, 5]
    rows = np.concatenate(
        [*(rows_of(number, 1, seed=8) for number in owners), np.zeros((1, 20), np.float32)]
    )
    found = asked(client, rows, per_row=True)
    assert found.keys() == {"rows"}
    *known, empty = found["rows"]
    assert [one["task"] for one in known] == [f"known-{number}" for number in owners]
    for one, row in zip(known, rows, strict=False):
        named = asked(client, row[np.newaxis], task=one["task"])
        assert one["label"] == named["predictions"][0]["label"]
        assert one["probability"] == pytest.approx(named["predictions"][0]["probability"], rel=1e-4)
        assert one["version"] == named["version"]
        assert not one["inference"]["abstained"]
        assert one["inference"]["candidates"][0]["task"] == one["task"]
    assert empty["inference"]["abstained"]
    assert [empty[name] for name in ("task", "version", "label", "probability")] == [None] * 4
    raw = client.post("/v1/predict?per_row=true", content=rows.tobytes(), headers=RAW)
    assert raw.json() == found


def test_rows_of_a_named_task_are_answered_as_ever(client: TestClient) -> None:
    rows = rows_of(1, 2)
    assert asked(client, rows, task="known-1", per_row=True) == asked(client, rows, task="known-1")


def test_each_row_counts_as_a_question_and_for_the_task_that_answered(client: TestClient) -> None:
    def counted() -> tuple[float, float, int]:
        text = client.get("/metrics").text
        named, abstained = (
            float(line.split()[-1])
            for result in ("named", "abstained")
            for line in text.splitlines()
            if line.startswith(f'impress_inference_total{{result="{result}"}}')
        )
        return named, abstained, client.get("/v1/tasks/known-4").json()["rows_predicted"]

    before = counted()
    rows = np.concatenate([rows_of(4, 3), rows_of(6, 1), np.ones((2, 20), np.float32)])
    asked(client, rows, per_row=True)
    after = counted()
    assert tuple(new - old for new, old in zip(after, before, strict=True)) == (4, 2, 3)


def test_the_same_question_again_needs_no_search_until_a_task_changes(
    client: TestClient, known_store: Store, make_artifact: MakeArtifact
) -> None:
    def searches() -> tuple[float, float]:
        text = client.get("/metrics").text
        names = ("impress_inference_duration_seconds_count", "impress_inference_cache_hits_total")
        searched, hit = (
            float(line.split()[-1])
            for name in names
            for line in text.splitlines()
            if line.startswith(name)
        )
        return searched, hit

    def ask() -> list[dict[str, Any]]:
        rows = rows_of(3, 4, seed=21)
        return [asked(client, rows, per_row=per_row) for per_row in (False, True)]

    before = searches()
    first, again = ask(), ask()
    assert again == first
    assert searches() == (before[0] + 2, before[1] + 2)
    named = client.get("/v1/tasks/known-3").json()["rows_predicted"]
    assert client.put("/v1/tasks/later", content=make_artifact(90).content).status_code == 201
    try:
        assert ask()[0]["task"] == "known-3"
        assert searches() == (before[0] + 4, before[1] + 2)
        assert client.get("/v1/tasks/known-3").json()["rows_predicted"] == named + 8
    finally:
        client.delete("/v1/tasks/later")


def test_fewer_strangers_pass_where_the_operator_lets_fewer_pass(known_store: Store) -> None:
    rows = rows_of(3, 200, seed=30)
    shares = []
    for rate in (0.0, 0.02, 0.2, 1.0):
        settings = Settings(
            store=Path(str(known_store.files)),
            inference_false_acceptance=rate,
            inference_margin_nats=0,
        )
        with TestClient(create_app(settings, Readiness())) as client:
            found = asked(client, rows, per_row=True)["rows"]
            shares.append(sum(row["task"] is not None for row in found))
            alone = asked(client, np.zeros((16, 20), np.float32))
            assert alone["inference"]["abstained"] == (rate < 1)
    assert shares == sorted(set(shares))
    assert (shares[0], shares[-1]) == (0, 200)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_asked_for_and_is_said(client: TestClient, method: str) -> None:
    answer = asked(client, rows_of(5, 16), method=method)
    inference = answer["inference"]
    assert inference["method"] == method
    assert answer["task"] == (
        None if inference["abstained"] else inference["candidates"][0]["task"]
    )
    raw = client.post(f"/v1/predict?method={method}", content=rows_of(5, 16).tobytes(), headers=RAW)
    assert raw.json() == answer


def test_what_a_method_may_not_cost_is_refused(known_store: Store) -> None:
    settings = Settings(
        store=Path(str(known_store.files)),
        inference_methods="auto,exhaustive",
        max_exhaustive_rows=3 * TASKS,
    )
    with TestClient(create_app(settings, Readiness())) as client:
        assert (
            asked(client, rows_of(5, 3), method="exhaustive")["inference"]["method"] == "exhaustive"
        )
        for method, said in (("exhaustive", "ask for fewer rows"), ("adapt", "auto, exhaustive")):
            body = {"inputs": rows_of(5, 4).tolist(), "method": method}
            answer = client.post("/v1/predict", json=body)
            assert answer.status_code == 422
            assert said in answer.json()["detail"]


def test_rows_of_one_session_add_up_over_requests_in_whatever_way_they_come(
    client: TestClient,
) -> None:
    rows, name = rows_of(3, 8), {"session": "camera 7"}
    at_once = asked(client, rows)["inference"]
    assert at_once["rows"] == 8
    found = asked(client, rows[:1], **name, session_start=True)
    assert found["inference"]["rows"] == 1
    assert asked(client, rows[1:3], **name)["inference"]["rows"] == 3
    raw = client.post("/v1/predict", params=name, content=rows[3:5].tobytes(), headers=RAW)
    assert raw.json()["inference"]["rows"] == 5
    assert len(raw.json()["predictions"]) == 2
    by_query = client.post("/v1/predict", params=name, json={"inputs": rows[5:7].tolist()})
    assert by_query.json()["inference"]["rows"] == 7
    last = asked(client, rows[7:], **name, session_end=True)["inference"]
    for number in ("rows", "confidence", "margin_nats", "strangeness", "entropy_nats"):
        assert last[number] == pytest.approx(at_once[number], rel=1e-4)
    assert asked(client, rows[:2], **name)["inference"]["rows"] == 2
    client.post(
        "/v1/predict",
        params=name | {"session_start": "true"},
        content=rows[:1].tobytes(),
        headers=RAW,
    )
    assert asked(client, rows[:1], **name, session_end=True)["inference"]["rows"] == 2


def test_picture_of_a_session_counts_as_a_row(client: TestClient) -> None:
    content = io.BytesIO()
    Image.fromarray((rows_of(1, 1) * 255).astype(np.uint8).reshape(4, 5)).save(content, "PNG")
    for expected in (1, 2):
        answer = client.post(
            "/v1/predict?session=pictures",
            content=content.getvalue(),
            headers={"content-type": "image/png"},
        )
        assert answer.json()["inference"]["rows"] == expected


@pytest.mark.parametrize("number", ["a stream", 17])
def test_sequence_of_the_protocol_is_a_session(client: TestClient, number: object) -> None:
    rows = rows_of(4, 3)

    def infer(**parameters: object) -> int:
        body = {
            "inputs": [
                {"name": "in", "shape": [1, 20], "datatype": "FP32", "data": rows[0].tolist()}
            ],
            "parameters": {"sequence_id": number, **parameters},
        }
        answer = client.post("/v2/models/auto/infer", json=body)
        assert answer.status_code == 200, answer.text
        count: int = answer.json()["parameters"]["rows"]
        return count

    assert [infer(), infer(), infer(sequence_start=True), infer(sequence_end=True)] == [1, 2, 1, 2]
    assert infer(sequence_start=True, sequence_end=True) == 1
    assert [infer(sequence_id=0), infer(sequence_id="")] == [1, 1]
    assert "sequence" in client.get("/v2").json()["extensions"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"sequence_id": 1.5},
        {"sequence_id": True},
        {"sequence_id": False},
        {"sequence_id": "x" * 129},
        {"sequence_id": 1, "sequence_start": 1},
        {"sequence_id": 1, "sequence_end": "yes"},
    ],
)
def test_sequence_that_is_none_is_refused(
    client: TestClient, parameters: dict[str, object]
) -> None:
    tensor = {"name": "in", "shape": [1, 20], "datatype": "FP32", "data": [0.5] * 20}
    body = {"inputs": [tensor], "parameters": parameters}
    answer = client.post("/v2/models/auto/infer", json=body)
    assert answer.status_code == 422
    assert "sequence" in answer.json()["detail"]


def test_session_and_rows_by_themselves_exclude_each_other(client: TestClient) -> None:
    rows = rows_of(1, 2)
    for answer in (
        client.post("/v1/predict", json={"inputs": rows.tolist(), "session": "x", "per_row": True}),
        client.post("/v1/predict?session=x&per_row=true", content=rows.tobytes(), headers=RAW),
        client.post("/v1/predict?session=x", json={"inputs": rows.tolist(), "per_row": True}),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("session")


def test_parameters_of_the_protocol_ask_as_json_does(client: TestClient) -> None:
    rows = rows_of(6, 4)

    def infer(model: str, **parameters: object) -> httpx2.Response:
        tensor = {"name": "in", "shape": [4, 20], "datatype": "FP32", "data": rows.tolist()}
        return client.post(
            f"/v2/models/{model}/infer", json={"inputs": [tensor], "parameters": parameters}
        )

    expected = asked(client, rows, candidates={"tags": ["even", "half:1"], "prefix": "known"})
    found = infer("auto", tags="half:1,even", prefix="known").json()["parameters"]
    for name in ("confidence", "strangeness", "margin_nats"):
        assert found[name] == pytest.approx(expected["inference"][name])
    assert found["task"] == expected["task"] == "known-6"
    assert infer("auto", method="exhaustive").json()["parameters"]["method"] == "exhaustive"
    assert infer("auto", tags="odd").json()["parameters"]["abstained"] is True
    assert infer("auto", tags="none").status_code == 404
    for wrong in ({"tags": 7}, {"tags": "a b"}, {"prefix": "x" * 129}, {"method": "guess"}):
        answer = infer("auto", **wrong)
        assert answer.status_code == 422
        assert f"parameters.{next(iter(wrong))}" in answer.json()["detail"]
        # Where a task is named they are a client's own, and change nothing.
        assert infer("known-6", **wrong).status_code == 200
