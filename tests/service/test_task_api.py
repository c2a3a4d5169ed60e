"""`/v1/tasks` through the whole application: conditions, versions, aliases, trials, warmth."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from model_store.store import Store
from model_store.task_artifact import TaskArtifact, tagged
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.damage import damage_content
from tests.service.artifacts import MakeArtifact

JSON_DTYPES = {"torch.float16": "F16", "torch.uint8": "U8", "torch.int32": "I32"}


def serving(store: Store) -> TestClient:
    settings = Settings(store=Path(str(store.files)), max_body_bytes=200_000)
    return TestClient(create_app(settings, Readiness()), raise_server_exceptions=False)


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with serving(store) as client:
        yield client


def in_json(artifact: TaskArtifact) -> dict[str, Any]:
    tensors = {
        name: {
            "dtype": JSON_DTYPES[str(one.dtype)],
            "shape": list(one.shape),
            "data": one.flatten().tolist(),
        }
        for name, one in artifact.tensors.items()
    }
    return {"record": artifact.record.model_dump(mode="json"), "tensors": tensors}


def whole_log(store: Store) -> dict[str, bytes]:
    folder = Path(str(store.files))
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(client: TestClient, artifact: TaskArtifact, **headers: str) -> httpx2.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.put("/v1/tasks/task-0", content=artifact.content, headers=given)


def answered_by(client: TestClient, task: str = "task-0", row: float = 0.5) -> str:
    answer = client.post("/v1/predict", json={"task": task, "inputs": [[row] * 20]})
    assert answer.status_code == 200, answer.text
    version: str = answer.json()["version"]
    return version


@pytest.mark.parametrize("kind", ["coefficients", "hybrid", "supermask"])
def test_artifact_in_json_is_the_one_in_bytes(
    client: TestClient, make_artifact: MakeArtifact, kind: str
) -> None:
    artifact = make_artifact(50, kind)
    answer = client.put("/v1/tasks/new", json=in_json(artifact))
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"] == artifact.content_hash
    assert put_new(client, artifact).status_code == 200


def put_new(client: TestClient, artifact: TaskArtifact) -> httpx2.Response:
    return client.put("/v1/tasks/new", content=artifact.content)


def test_same_upload_again_is_answered_alike_and_writes_nothing(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(50)
    first = put_new(client, artifact)
    assert first.status_code == 201
    answered_by(client, "new")
    before = whole_log(store)
    again = put_new(client, artifact)
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
    assert whole_log(store) == before
    assert again.json()["rows_predicted"] == 1


def test_upload_goes_by_its_conditions(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    zero, fifty = make_artifact(0), make_artifact(50)
    assert put(client, fifty, if_none_match="*").status_code == 412
    assert put(client, fifty, if_match=f'"{fifty.content_hash[:-1]}0"').status_code == 412
    assert put(client, fifty, if_match=f'W/"{zero.content_hash}"').status_code == 412
    assert put(client, fifty, if_match='"x').status_code == 400
    assert put(client, fifty, if_match="").status_code == 400
    assert put(client, fifty, if_match='"x",' * 2000).status_code == 400
    assert store.current_hash("task-0") == zero.content_hash
    held = {"if_match": f'"x", "{zero.content_hash}"'}
    assert put(client, fifty, **held).status_code == 200
    # Repeated, since its answer was lost: it was done.
    assert put(client, fifty, **held).status_code == 200
    assert put(client, make_artifact(51), **held).status_code == 412
    absent = client.put("/v1/tasks/new", content=fifty.content, headers={"if-match": "*"})
    assert absent.status_code == 412
    created = client.put("/v1/tasks/new", content=fifty.content, headers={"if-none-match": "*"})
    assert created.status_code == 201


def test_condition_is_held_against_the_store_and_not_against_what_was_seen_of_it(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    Store.open(Path(str(store.files))).publish("task-0", make_artifact(51))
    held = f'"{make_artifact(0).content_hash}"'
    assert put(client, make_artifact(52), if_match=held).status_code == 412
    assert store.current_hash("task-0") == make_artifact(51).content_hash


def test_delete_goes_by_its_conditions(client: TestClient, make_artifact: MakeArtifact) -> None:
    other, own = make_artifact(1).content_hash, make_artifact(0).content_hash
    path = "/v1/tasks/task-0"
    assert client.delete(path, headers={"if-match": f'"{other}"'}).status_code == 412
    assert client.delete(path, headers={"if-match": f'"{own}"'}).status_code == 204
    assert client.get(path).status_code == 404


def test_reader_who_has_the_version_is_told_so_in_few_bytes(
    client: TestClient, make_artifact: MakeArtifact
) -> None:
    own = f'"{make_artifact(0).content_hash}"'
    for said in (own, f'W/{own}, "x"', "*", own.strip('"')):
        answer = client.get("/v1/tasks/task-0", headers={"if-none-match": said})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", own)
    assert client.get("/v1/tasks/task-0", headers={"if-none-match": '"x"'}).status_code == 200


def test_pages_hold_every_task_once_whatever_is_deleted_meanwhile(client: TestClient) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get("/v1/tasks", params={"limit": 2, "cursor": cursor}).json()
        seen += [one["task"] for one in page["tasks"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
        client.delete(f"/v1/tasks/{cursor}")
    assert seen == ["masked", "task-0", "task-1", "task-2", "task-3"]


def test_trial_says_everything_that_is_wrong_and_changes_nothing(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    before = whole_log(store)
    said = in_json(make_artifact(50))
    said["record"]["made_for"] = " ".join(["0" * 16] * 3)
    said["record"]["classes"] = list("abcdefgh")
    said["tensors"]["coefficients"] |= {"shape": [3], "data": [1, 2, 3]}
    said["tensors"]["more"] = {"dtype": "U8", "shape": [1], "data": [1]}
    report = client.post("/v1/tasks/a b:validate", json=said).json()
    assert (report["valid"], report["version"]) == (False, None)
    told = "\n".join(report["problems"])
    for part in ("name", "weights", "preprocessing", "bank", "8 classes", "'more'", "[96]"):
        assert part in told, told
    assert len(report["problems"]) == 7
    assert whole_log(store) == before


def test_trial_of_what_could_be_uploaded_says_its_version(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    before = whole_log(store)
    artifact = make_artifact(50, "hybrid")
    report = client.post("/v1/tasks/new:validate", content=artifact.content).json()
    version = artifact.content_hash
    assert report == {"valid": True, "version": version, "kind": "hybrid", "problems": []}
    assert client.get("/v1/tasks/new").status_code == 404
    assert whole_log(store) == before


def test_warm_task_has_its_weights_at_hand(client: TestClient) -> None:
    assert client.get("/v1/tasks/task-1").json()["composed"] is False
    warm = client.post("/v1/tasks/task-1:warm")
    assert (warm.status_code, warm.json()["composed"]) == (200, True)
    assert client.get("/v1/tasks/task-1").json()["composed"] is True
    assert client.post("/v1/tasks/none:warm").status_code == 404


def test_task_says_how_much_and_when_it_was_last_asked(client: TestClient) -> None:
    never = client.get("/v1/tasks/task-1").json()
    assert (never["rows_predicted"], never["last_predicted"]) == (0, None)
    answered_by(client, "task-1")
    asked = client.get("/v1/tasks/task-1").json()
    assert asked["rows_predicted"] == 1
    assert asked["last_predicted"].endswith("Z")


def tensor(rows: np.ndarray) -> dict[str, Any]:
    data = rows.ravel().tolist()
    return {"name": "inputs", "shape": list(rows.shape), "datatype": "FP32", "data": data}


def test_earlier_version_answers_by_its_name_on_every_way_in(
    client: TestClient, make_artifact: MakeArtifact
) -> None:
    rows = np.full((2, 20), 0.5, np.float32)
    body = {"inputs": [tensor(rows)]}
    before = client.post("/v2/models/task-0/infer", json=body).json()
    put(client, make_artifact(51))
    own = make_artifact(0).content_hash
    after = client.post("/v2/models/task-0/infer", json=body).json()
    assert after["outputs"] != before["outputs"]
    path = f"/v2/models/task-0/versions/{own}"
    assert client.post(f"{path}/infer", json=body).json() == before
    assert client.get(f"{path}/ready").status_code == 200
    assert client.get(path).json()["versions"] == [own, make_artifact(51).content_hash]
    wrong = f"/v2/models/task-0/versions/{'0' * 64}/infer"
    for path in (
        wrong,
        "/v2/models/task-0/versions/..%2F/infer",
        "/v2/models/auto/versions/1/infer",
    ):
        assert client.post(path, json=body).status_code == 404


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (5, 4), 99).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "way", ["json", "json and query", "raw", "raw, answered raw", "picture", "form"]
)
def test_earlier_version_answers_the_short_way_too(
    client: TestClient, make_artifact: MakeArtifact, way: str
) -> None:
    def ask(task: str | None, version: str | None) -> httpx2.Response:
        named = {"task": task, "version": version}
        query = {name: said for name, said in named.items() if said is not None}
        match way:
            case "json":
                body = {"inputs": [[0.5] * 20]} | named
                return client.post("/v1/predict", json=body)
            case "json and query":
                return client.post("/v1/predict", json={"inputs": [[0.5] * 20]}, params=query)
            case "picture":
                headers = {"Content-Type": "image/png"}
                return client.post("/v1/predict", content=picture(), headers=headers, params=query)
            case "form":
                return client.post("/v1/predict", files={"file": picture()}, data=query)
        headers = {"Content-Type": "application/octet-stream"}
        if way == "raw, answered raw":
            headers["Accept"] = "application/octet-stream"
        rows = np.full((1, 20), 0.5, np.float32).tobytes()
        return client.post("/v1/predict", content=rows, headers=headers, params=query)

    before = ask("task-0", None).content
    own = make_artifact(0).content_hash
    put(client, make_artifact(51))
    assert ask("task-0", None).content != before
    assert ask("task-0", own).content == before
    assert ask("task-1", own).status_code == 404
    assert ask("task-0", "../..").status_code == 404
    assert ask(None, own).status_code == 422


def test_versions_are_listed_read_and_deleted_but_for_the_live_one(
    client: TestClient, make_artifact: MakeArtifact
) -> None:
    put(client, make_artifact(51))
    earlier, live = make_artifact(0), make_artifact(51)
    path = "/v1/tasks/task-0/versions"
    listed = client.get(path).json()["versions"]
    assert [(one["version"], one["live"]) for one in listed] == [
        (earlier.content_hash, False),
        (live.content_hash, True),
    ]
    own = f"{path}/{earlier.content_hash}"
    assert client.get(own).json()["provenance"] == {"seed": 0}
    raw = client.get(own, headers={"accept": "application/octet-stream"})
    assert raw.content == earlier.content
    tagged = client.get(own, headers={"if-none-match": raw.headers["etag"]})
    assert tagged.status_code == 304
    assert client.delete(f"{path}/{live.content_hash}").status_code == 409
    assert client.delete(own).status_code == 204
    for answer in (client.delete(own), client.get(own)):
        assert answer.status_code == 404
    assert answered_by(client) == live.content_hash


def test_rollback_is_moving_the_alias_and_survives_a_restart(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    put(client, make_artifact(51))
    earlier, live = make_artifact(0).content_hash, make_artifact(51).content_hash
    path = "/v1/tasks/task-0/aliases/production"
    for _ in range(2):
        moved = client.put(path, json={"version": earlier}, headers={"if-match": f'"{live}"'})
        assert (moved.status_code, moved.headers["etag"]) == (200, f'"{earlier}"')
        assert answered_by(client) == earlier
    with serving(store) as restarted:
        assert answered_by(restarted) == earlier
        listed = restarted.get("/v1/tasks/task-0/versions").json()["versions"]
        assert [one["version"] for one in listed] == [live, earlier]
    assert client.put(path, json={"version": "0" * 64}).status_code == 404
    assert client.put(path, json={"version": "x"}).status_code == 422
    assert client.put(path, json={"version": live, "share": 0.5}).status_code == 422
    assert client.put("/v1/tasks/task-0/aliases/other", json={"version": live}).status_code == 404


def test_version_can_be_uploaded_before_it_answers(
    client: TestClient, make_artifact: MakeArtifact
) -> None:
    coming = make_artifact(51)
    path = f"/v1/tasks/task-0/versions/{coming.content_hash}"
    assert client.put(path, content=coming.content).status_code == 201
    assert client.put(path, content=coming.content).status_code == 200
    assert answered_by(client) == make_artifact(0).content_hash
    wrong = client.put(path, content=make_artifact(52).content)
    assert wrong.status_code == 422
    assert make_artifact(52).content_hash in wrong.json()["detail"]
    absent = path.replace("task-0", "none")
    assert client.put(absent, content=coming.content).status_code == 404


def canary_at(client: TestClient, coming: TaskArtifact, share: float) -> None:
    version = coming.content_hash
    client.put(f"/v1/tasks/task-0/versions/{version}", content=coming.content)
    target = {"version": version, "share": share}
    answer = client.put("/v1/tasks/task-0/aliases/canary", json=target)
    assert answer.status_code == 200, answer.text


def test_canary_answers_its_share_and_the_same_requests_each_time(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    coming = make_artifact(51)
    canary_at(client, coming, 0.25)
    rows = [index / 400 for index in range(400)]
    first = [answered_by(client, row=row) for row in rows]
    share = first.count(coming.content_hash) / len(first)
    assert 0.15 < share < 0.35
    with serving(store) as another:
        assert [answered_by(another, row=row) for row in rows[:100]] == first[:100]
        details = another.get("/v1/tasks/task-0").json()
        assert details["version"] == make_artifact(0).content_hash
        assert details["canary"]["version"] == coming.content_hash
        assert details["canary"]["share"] == 0.25
        assert details["canary"]["rows_predicted"] == first[:100].count(coming.content_hash)
    path = f"/v1/tasks/task-0/versions/{coming.content_hash}"
    assert client.delete(path).status_code == 409
    assert client.delete("/v1/tasks/task-0/aliases/canary").status_code == 204
    assert client.delete("/v1/tasks/task-0/aliases/canary").status_code == 404
    assert {answered_by(client, row=row) for row in rows[:50]} == {make_artifact(0).content_hash}
    assert client.delete(path).status_code == 204


def test_canary_of_a_share_of_one_answers_all_whatever_is_published(
    client: TestClient, make_artifact: MakeArtifact
) -> None:
    coming = make_artifact(51)
    canary_at(client, coming, 1)
    for seed in range(60, 72):
        put(client, make_artifact(seed))
    assert {answered_by(client, row=row / 20) for row in range(20)} == {coming.content_hash}
    raw = np.full((1, 20), 0.25, "<f4").tobytes()
    octets = {"content-type": "application/octet-stream"}
    answer = client.post("/v1/predict?task=task-0", content=raw, headers=octets)
    assert answer.json()["version"] == coming.content_hash


def test_deleted_task_has_no_canary_when_it_is_published_again(
    client: TestClient, make_artifact: MakeArtifact
) -> None:
    canary_at(client, make_artifact(51), 1)
    client.delete("/v1/tasks/task-0")
    put(client, make_artifact(0))
    assert client.get("/v1/tasks/task-0").json()["canary"] is None
    assert answered_by(client) == make_artifact(0).content_hash


def test_damaged_version_is_unknown_and_hurts_nothing(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    put(client, make_artifact(51))
    earlier = make_artifact(0).content_hash
    damage_content(Path(str(store.files)), f"task-0@{earlier}")
    body = {"inputs": [tensor(np.full((1, 20), 0.5, np.float32))]}
    named = client.post(f"/v2/models/task-0/versions/{earlier}/infer", json=body)
    assert named.status_code == 404
    target = {"version": earlier}
    assert client.put("/v1/tasks/task-0/aliases/production", json=target).status_code == 404
    assert answered_by(client) == make_artifact(51).content_hash


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda said: said.pop("record"), 422),
        (lambda said: said.update(extra=1), 422),
        (lambda said: said["record"].pop("classes"), 422),
        (lambda said: said["record"].update(classes=["a", "a"]), 422),
        (lambda said: said["record"].update(classes=["a", "b\n"]), 422),
        (lambda said: said["tensors"]["coefficients"].update(dtype="F32"), 422),
        (lambda said: said["tensors"]["coefficients"].update(shape=[95]), 422),
        (lambda said: said["tensors"]["coefficients"].update(shape=[2**62, 2**62]), 422),
        (lambda said: said["tensors"]["coefficients"].update(shape=[True] * 9), 422),
        (lambda said: said["tensors"]["coefficients"].update(data="AAAA"), 422),
        (lambda said: said["tensors"]["coefficients"].update(data=[[1] * 96]), 422),
        (lambda said: said["tensors"]["coefficients"].update(data=[True] * 96), 422),
        (lambda said: said["tensors"]["coefficients"].update(data=[1e9] * 96), 422),
        (lambda said: said["tensors"]["coefficients"].update(data=[10**400] * 96), 422),
        (lambda said: said["tensors"]["coefficients"].update(data=[60_000] * 96), 422),
    ],
)
def test_artifact_in_json_that_cannot_serve_is_refused(
    client: TestClient, make_artifact: MakeArtifact, change: Any, status: int
) -> None:
    said = in_json(make_artifact(50))
    change(said)
    answer = client.put("/v1/tasks/new", json=said)
    assert answer.status_code == status, answer.text
    assert client.get("/v1/tasks/new").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"[" * 100_000,
        b'{"record": {}, "record": {}, "tensors": {}}',
        b'{"record": NaN, "tensors": {}}',
        b'{"record": 1' + b"0" * 5000 + b', "tensors": {}}',
        b"\xff\xfe",
        b'{"record": {"provenance": ' + b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"}}",
    ],
)
def test_artifact_that_is_no_json_is_refused_as_malformed(client: TestClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = client.put("/v1/tasks/new", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    report = client.post("/v1/tasks/new:validate", content=body, headers=headers)
    assert report.status_code == 200
    assert json.loads(report.content)["valid"] is False


def test_method_that_a_path_has_not_is_told_those_that_it_has(client: TestClient) -> None:
    for path, methods in (
        ("/v1/tasks/task-0", "DELETE, GET, PUT"),
        ("/v1/tasks/task-0:warm", "POST"),
        ("/v1/tasks/task-0/aliases/canary", "DELETE, PUT"),
        ("/v1/tasks", "GET"),
    ):
        answer = client.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_examples_of_the_documentation_work(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            examples = {
                one["name"]: one["example"]
                for one in operation.get("parameters", ())
                if "example" in one
            }
            assert method == "get" or not examples or path.endswith((":warm", "/infer"))
            if examples and method == "get":
                answer = client.get(path.format(**examples))
                assert answer.status_code == 200, f"{path}: {answer.text}"
                tried += 1
    schemas = document["components"]["schemas"]
    (predict, inferred), (infer,) = (
        schemas["PredictRequest"]["examples"],
        schemas["InferRequest"]["examples"],
    )
    assert client.post("/v1/predict", json=predict).status_code == 200
    asked = client.post("/v1/predict", json=inferred)
    assert asked.status_code == 200, asked.text
    assert len(asked.json()["rows"]) == len(inferred["inputs"])
    assert client.post(f"/v2/models/{predict['task']}/infer", json=infer).status_code == 200
    assert tried >= 6


def test_tags_are_shown_and_take_the_place_of_the_artifacts_own_where_an_upload_says_so(
    client: TestClient, store: Store, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(60)
    plain = client.put("/v1/tasks/new", content=artifact.content)
    assert plain.json()["tags"] == []
    expected = tagged(artifact, ["night", "site:berlin"])
    url = "/v1/tasks/new?tags=site:berlin,night"
    said = client.put(url, content=artifact.content)
    assert (said.status_code, said.json()["tags"]) == (200, ["night", "site:berlin"])
    assert said.json()["version"] == expected.content_hash != plain.json()["version"]
    assert store.load("new").record.tags == ("night", "site:berlin")
    listed = client.get("/v1/tasks?tags=night").json()["tasks"]
    assert [(one["task"], one["tags"]) for one in listed] == [("new", ["night", "site:berlin"])]
    by_itself = client.put("/v1/tasks/new", content=expected.content)
    assert by_itself.headers["etag"] == said.headers["etag"]
    in_words = client.put("/v1/tasks/other", json=in_json(expected))
    assert in_words.json()["version"] == expected.content_hash
    trial = client.post("/v1/tasks/new:validate?tags=night", content=artifact.content).json()
    assert trial["version"] == tagged(artifact, ["night"]).content_hash
    later = tagged(artifact, ["day"]).content_hash
    added = client.put(f"/v1/tasks/new/versions/{later}?tags=day", content=artifact.content)
    assert (added.status_code, added.json()["tags"]) == (201, ["day"])
    assert client.get("/v1/tasks/new").json()["tags"] == ["night", "site:berlin"]
    with serving(store) as again:
        assert again.get("/v1/tasks/new").json()["tags"] == ["night", "site:berlin"]


@pytest.mark.parametrize("tags", ["a b", "a,,b", "é", ",".join(f"t{n}" for n in range(17))])
def test_tags_that_cannot_be_are_refused_with_nothing_changed(
    client: TestClient, make_artifact: MakeArtifact, tags: str
) -> None:
    answer = client.put("/v1/tasks/new", params={"tags": tags}, content=make_artifact(60).content)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("tags: ")
    assert client.get("/v1/tasks/new").status_code == 404
