"""Both clients against the real service on a real store."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import numpy as np
import pytest
from PIL import Image

from client.asynchronous import AsyncClient
from client.blocking import Client
from client.errors import (
    Conflict,
    DeadlinePassed,
    InvalidInput,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from client.metric_samples import samples_of
from client.questions import Question
from client.results import Task
from client.retries import Retries
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from tests.client.conftest import Ask
from tests.real_parts import running_service
from tests.service.artifacts import MakeArtifact

ROWS = np.random.default_rng(3).random((5, 20), dtype=np.float32)


def reference(url: str, task: str) -> tuple[list[str], np.ndarray]:
    """Labels and probabilities as the service writes them in JSON."""
    tensor = {"name": "inputs", "shape": [5, 20], "datatype": "FP32", "data": ROWS.tolist()}
    answer = httpx2.post(f"{url}/v2/models/{task}/infer", json={"inputs": [tensor]}).json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return outputs["labels"], np.reshape(outputs["probabilities"], (5, 4))


def test_a_prediction_is_the_services_own(ask: Ask, service_url: str) -> None:
    labels, probabilities = reference(service_url, "task-1")
    found = ask(service_url, lambda client: client.predict(ROWS, "task-1"))
    assert (found.task, found.inference) == ("task-1", None)
    assert list(found.labels) == labels
    assert found.probabilities == pytest.approx(probabilities.max(axis=1), rel=1e-5)
    assert found.version == ask(service_url, lambda client: client.show("task-1")).version


def test_probabilities_are_the_services_own_for_every_class(ask: Ask, service_url: str) -> None:
    labels, probabilities = reference(service_url, "task-2")
    found = ask(service_url, lambda client: client.probabilities(ROWS, "task-2"))
    assert list(found.labels) == labels
    assert found.values == pytest.approx(probabilities, rel=1e-5)
    assert found.version == ask(service_url, lambda client: client.show("task-2")).version


def test_rows_of_earlier_calls_of_a_session_count_as_well(ask: Ask, service_url: str) -> None:
    name, count = uuid4().hex, len(ROWS)

    def rows(start: bool = False, end: bool = False) -> int:
        question = Question(session=name, session_start=start, session_end=end)
        found = ask(service_url, lambda client: client.predict(ROWS, question=question))
        assert len(found.labels) == count
        gathered: int = found.inference.rows
        return gathered

    assert [rows(), rows()] == [count, 2 * count]
    assert rows(end=True) == 3 * count
    assert [rows(), rows(start=True)] == [count, count]
    assert ask(service_url, lambda client: client.probabilities(ROWS)).inference.rows == count


def test_the_most_probable_tasks_are_told_of_by_as_many_as_are_asked_for(
    ask: Ask, service_url: str
) -> None:
    question = Question(method="exhaustive", top=2)
    found = ask(service_url, lambda client: client.predict(ROWS, question=question)).inference
    every = ask(service_url, lambda client: client.predict(ROWS)).inference
    assert found.method == "exhaustive"
    assert found.candidates == every.candidates[:2]
    assert found.confidence == found.candidates[0].probability
    with pytest.raises(InvalidRequest, match="top"):
        ask(service_url, lambda client: client.predict(ROWS, question=Question(top=0)))


def _predicted(client: Any, row: np.ndarray) -> Any:
    return client.predict(row)


def test_each_row_is_answered_by_itself(ask: Ask, service_url: str) -> None:
    found = ask(service_url, lambda client: client.predict_each(ROWS))
    assert len(found) == len(ROWS)
    for answer, row in zip(found, ROWS, strict=True):
        alone = ask(service_url, partial(_predicted, row=row))
        assert (answer.task, answer.version) == (alone.task, alone.version)
        assert (() if answer.label is None else (answer.label,)) == alone.labels
        assert answer.inference.candidates[0].task == alone.inference.candidates[0].task
    with pytest.raises(InvalidInput, match="4 rows of 5 numbers were taken for 1"):
        ask(service_url, lambda client: client.predict_each(ROWS[0].reshape(4, 5)))


def test_a_task_that_is_not_named_is_inferred_both_ways(ask: Ask, service_url: str) -> None:
    predicted = ask(service_url, lambda client: client.predict(ROWS))
    inference = predicted.inference
    assert not inference.abstained
    assert inference.candidates[0].task == predicted.task
    assert inference.candidates[0].entropy_nats == inference.entropy_nats
    gap = inference.candidates[1].entropy_nats - inference.entropy_nats
    assert inference.margin_nats == pytest.approx(gap)
    found = ask(service_url, lambda client: client.probabilities(ROWS))
    assert (found.task, found.labels) == (predicted.task, predicted.labels)
    assert found.inference.margin_nats == pytest.approx(inference.margin_nats)
    assert found.values.max(axis=1) == pytest.approx(predicted.probabilities, rel=1e-5)


@pytest.fixture(scope="module")
def doubtful_url(store_folder: Path) -> Iterator[str]:
    """A service that names no task, and that lets a second go by before it computes."""
    settings = {"INFERENCE_MARGIN_NATS": "100", "MAX_BATCH_DELAY_MS": "1000"}
    with running_service(store_folder, **settings) as http:
        yield str(http.base_url)


def test_where_no_task_fits_there_is_no_label(ask: Ask, doubtful_url: str) -> None:
    predicted = ask(doubtful_url, lambda client: client.predict(ROWS))
    found = ask(doubtful_url, lambda client: client.probabilities(ROWS))
    assert predicted.inference.abstained
    assert (predicted.task, predicted.labels, len(predicted.probabilities)) == (None, (), 0)
    assert found.inference.abstained
    assert (found.task, found.labels, found.values.size) == (None, (), 0)


def test_a_picture_is_predicted_on_like_its_numbers(ask: Ask, service_url: str) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (4, 5), np.uint8)
    picture = ask(service_url, lambda client: client.predict(Image.fromarray(pixels), "task-0"))
    rows = ask(service_url, lambda client: client.predict(pixels.ravel() / 255, "task-0"))
    assert picture.labels == rows.labels
    assert picture.probabilities == pytest.approx(rows.probabilities, rel=1e-4)


def test_rows_that_the_service_takes_for_others_are_never_answered(
    ask: Ask, service_url: str
) -> None:
    # One row of 20 numbers, and four of 5: the bytes are the same.
    image = ROWS[0].reshape(4, 5)
    with pytest.raises(InvalidInput, match=r"4 rows of 5 numbers were taken for 1: .* have 20"):
        ask(service_url, lambda client: client.predict(image))
    with pytest.raises(InvalidRequest, match=r"expected \[rows, 20\], got \[4, 5\]"):
        ask(service_url, lambda client: client.predict(image, "task-0"))
    with pytest.raises(InvalidRequest, match=r"expected \[rows, 20\], got \[4, 5\]"):
        ask(service_url, lambda client: client.probabilities(image))
    with pytest.raises(InvalidRequest, match="expected rows of 20 float32"):
        ask(service_url, lambda client: client.predict(ROWS[:, 1:]))


def test_a_row_is_as_long_as_the_service_says(ask: Ask, service_url: str) -> None:
    assert ask(service_url, lambda client: client.row_length()) == 20


def test_a_task_is_uploaded_replaced_used_and_deleted(
    ask: Ask, service_url: str, make_artifact: MakeArtifact
) -> None:
    first, second = make_artifact(50), make_artifact(51, kind="hybrid")
    created = ask(service_url, lambda client: client.push("mine", first.content))
    assert (created.created, created.task.version) == (True, first.content_hash)
    replaced = ask(service_url, lambda client: client.push("mine", second.content))
    assert (replaced.created, replaced.task.kind) == (False, "hybrid")
    ask(service_url, lambda client: client.predict(ROWS, "mine"))
    shown = ask(service_url, lambda client: client.show("mine"))
    assert shown.classes == ("ant", "bee", "cat", "dog")
    assert (shown.version, shown.rows_predicted) == (second.content_hash, 5)
    assert shown.artifact_bytes == len(second.content)
    assert shown.provenance == {"seed": 51}
    ask(service_url, lambda client: client.delete("mine"))
    with pytest.raises(NotFound, match="no task 'mine'"):
        ask(service_url, lambda client: client.show("mine"))
    with pytest.raises(NotFound):
        ask(service_url, lambda client: client.delete("mine"))


def test_a_task_is_pushed_with_tags_listed_by_them_and_asked_among_them(
    ask: Ask, service_url: str, make_artifact: MakeArtifact
) -> None:
    content, tags = make_artifact(52).content, ("site:x", "day")
    pushed = ask(service_url, lambda client: client.push("mine-1", content, tags))
    assert pushed.task.tags == ("day", "site:x")
    page = ask(service_url, lambda client: client.page(tags=["day"], prefix="mine"))
    assert [(task.task, task.tags) for task in page.tasks] == [("mine-1", ("day", "site:x"))]
    question = Question(tags=["site:x"], method="exhaustive")
    found = ask(service_url, lambda client: client.predict(ROWS, question=question))
    every = ask(service_url, lambda client: client.probabilities(ROWS, question=question))
    assert (every.task, every.inference.method) == (found.task, "exhaustive")
    assert every.inference.confidence == found.inference.confidence == 1
    assert [one.task for one in found.inference.candidates] == ["mine-1"]
    ask(service_url, lambda client: client.delete("mine-1"))
    assert ask(service_url, lambda client: client.page(tags=["day"])).tasks == ()
    with pytest.raises(NotFound, match="tags site:x"):
        ask(service_url, lambda client: client.predict(ROWS, question=question))


def test_an_artifact_of_another_store_is_a_conflict_and_a_cut_one_no_artifact(
    ask: Ask, service_url: str, make_artifact: MakeArtifact
) -> None:
    good = make_artifact(50)
    made_for = good.record.made_for.model_copy(update={"weights": "0" * 16})
    record = good.record.model_copy(update={"made_for": made_for})
    content = TaskArtifact(record, good.tensors).content
    with pytest.raises(Conflict, match="weights fingerprint"):
        ask(service_url, lambda client: client.push("other", content))
    with pytest.raises(InvalidRequest, match="safetensors"):
        ask(service_url, lambda client: client.push("other", good.content[:-1]))


def test_tasks_are_listed_in_pages_and_all_together(service_url: str, ask: Ask) -> None:
    first = ask(service_url, lambda client: client.page(limit=3))
    assert [one.task for one in first.tasks] == ["task-0", "task-1", "task-2"]
    rest = ask(service_url, lambda client: client.page(cursor=first.next_cursor))
    assert [one.task for one in rest.tasks] == ["task-3"]
    assert rest.next_cursor is None
    assert all(isinstance(one, Task) for one in first.tasks)


def test_tasks_of_some_names_come_in_one_answer_with_how_much_they_were_used(
    service_url: str, ask: Ask
) -> None:
    names = ["task-3", "nobody", "task-1", "task-3"]
    before = ask(service_url, lambda client: client.page(names=names)).tasks
    assert [one.task for one in before] == ["task-1", "task-3"]
    ask(service_url, lambda client: client.predict(ROWS, "task-3"))
    after = ask(service_url, lambda client: client.page(names=names)).tasks
    assert after[0] == before[0]
    assert after[1].rows_predicted == before[1].rows_predicted + len(ROWS)
    for wrong in (["with~mark"], ["a"] * 101):
        with pytest.raises(InvalidRequest):
            ask(service_url, methodcaller("page", names=wrong))


def test_the_service_says_what_it_is_and_how_it_is(ask: Ask, service_url: str) -> None:
    assert ask(service_url, lambda client: client.alive()) is None
    server = ask(service_url, lambda client: client.server())
    assert server.name == "impress"
    assert "binary_tensor_data" in server.extensions
    ready = ask(service_url, lambda client: client.ready())
    assert (ready.ready, ready.because, ready.tasks) == (True, None, 4)
    assert (ready.store, ready.redis, dict(ready.damaged_tasks)) == (
        "in step", "not configured", {}
    )  # fmt: skip
    assert "impress_tasks_registered 4.0" in ask(service_url, lambda client: client.metrics())
    plan = ask(service_url, lambda client: client.plan())
    assert plan["redis"] is None
    assert "costs" in plan


def test_rows_that_nobody_waits_for_any_more_are_not_computed(ask: Ask, doubtful_url: str) -> None:
    def given_up() -> float:
        with Client(doubtful_url) as client:
            return samples_of(client.metrics()).total("impress_rejected_total")

    before = given_up()
    # Whether the service says it first, or predicts it, is open.
    with pytest.raises((DeadlinePassed, Unavailable)):
        ask(
            doubtful_url,
            lambda client: client.predict(ROWS, "task-0", timeout_seconds=0.3),
            retries=Retries(attempts=1),
        )
    deadline = time.monotonic() + 20
    while given_up() == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_asynchronous_client_lists_every_task_too(service_url: str) -> None:
    async def names() -> list[str]:
        async with AsyncClient(service_url) as client:
            return [one.task async for one in client.tasks()]

    assert asyncio.run(names()) == ["task-0", "task-1", "task-2", "task-3"]


def test_more_tasks_than_a_page_holds_are_all_listed(
    tmp_path: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store = Store.create(tmp_path / "store", network)
    artifact = make_artifact(1)
    names = [f"t-{index:04}" for index in range(1005)]
    for name in names:
        store.publish(name, artifact)
    with running_service(tmp_path / "store") as http, Client(str(http.base_url)) as client:
        assert [one.task for one in client.tasks()] == names
