"""Both clients on a task's versions, against the real service."""

from collections.abc import Iterator
from operator import methodcaller

import pytest
from PIL import Image

from client.blocking import Client
from client.errors import Conflict, InvalidInput, NotFound
from client.version_calls import move
from model_store.task_artifact import TaskArtifact
from tests.client.conftest import Ask
from tests.service.artifacts import MakeArtifact

ROW = [[0.5] * 20]
PICTURE = Image.new("L", (5, 4), 99)


@pytest.fixture
def two(service_url: str, make_artifact: MakeArtifact) -> Iterator[tuple[TaskArtifact, ...]]:
    """The task `mine` with two versions, the second one live."""
    made = make_artifact(70), make_artifact(71)
    with Client(service_url) as client:
        for artifact in made:
            client.push("mine", artifact.content)
        yield made
        client.delete("mine")


def test_a_rollback_goes_to_the_version_before_and_back(
    ask: Ask, service_url: str, two: tuple[TaskArtifact, ...]
) -> None:
    first, second = (one.content_hash for one in two)
    listed = ask(service_url, lambda client: client.versions("mine"))
    assert [(one.version, one.live) for one in listed] == [(first, False), (second, True)]
    for version in (first, second):
        moved = ask(service_url, lambda client: client.rollback("mine"))
        assert (moved.alias, moved.version) == ("production", version)
        answered = ask(service_url, lambda client: client.predict(ROW, "mine"))
        assert answered.version == version
    assert ask(service_url, lambda client: client.rollback("mine", first)).version == first
    with pytest.raises(NotFound):
        ask(service_url, lambda client: client.rollback("mine", "0" * 64))
    with pytest.raises(InvalidInput, match="no version but the live one"):
        ask(service_url, lambda client: client.rollback("task-0"))


def test_a_version_that_is_named_answers_rows_and_pictures(
    ask: Ask, service_url: str, two: tuple[TaskArtifact, ...]
) -> None:
    for version in (one.content_hash for one in two):
        for inputs in (ROW, PICTURE):
            predict = methodcaller("predict", inputs, "mine", version)
            assert ask(service_url, predict).version == version
        every = ask(service_url, methodcaller("probabilities", ROW, "mine", version))
        assert every.version == version
    with pytest.raises(NotFound):
        ask(service_url, lambda client: client.predict(ROW, "mine", "0" * 64))
    for inputs in (ROW, PICTURE):
        with pytest.raises(InvalidInput, match="expected the task"):
            ask(service_url, methodcaller("predict", inputs, None, "0" * 64))


def test_a_rollback_of_what_others_replaced_meanwhile_is_a_conflict(
    service_url: str, two: tuple[TaskArtifact, ...]
) -> None:
    first, second = (one.content_hash for one in two)
    with Client(service_url) as client:
        client.rollback("mine")
        with pytest.raises(Conflict):
            client._sent(move("mine", second, live="0" * 64))
        assert client.show("mine").version == first


def test_a_version_is_had_back_as_it_was_pushed(
    ask: Ask, service_url: str, two: tuple[TaskArtifact, ...]
) -> None:
    content = ask(service_url, lambda client: client.artifact("mine", two[0].content_hash))
    assert content == two[0].content


def test_a_canary_answers_until_it_is_ended(
    ask: Ask, service_url: str, two: tuple[TaskArtifact, ...]
) -> None:
    first, second = (one.content_hash for one in two)
    set_up = ask(service_url, lambda client: client.canary("mine", first, 1))
    assert (set_up.version, set_up.share) == (first, 1)
    assert ask(service_url, lambda client: client.predict(ROW, "mine")).version == first
    shares = [one.canary_share for one in ask(service_url, lambda c: c.versions("mine"))]
    assert shares == [1, None]
    ask(service_url, lambda client: client.end_canary("mine"))
    assert ask(service_url, lambda client: client.predict(ROW, "mine")).version == second


def test_a_trial_says_all_and_a_warm_task_is_at_hand(
    ask: Ask, service_url: str, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(72)
    trial = ask(service_url, lambda client: client.validate("fresh", artifact.content))
    assert (trial.valid, trial.version, trial.problems) == (True, artifact.content_hash, ())
    cut = ask(service_url, lambda client: client.validate("a b", artifact.content[:-1]))
    assert not cut.valid
    assert len(cut.problems) == 2
    warm = ask(service_url, lambda client: client.warm("task-1"))
    assert (warm.task, warm.composed) == ("task-1", True)
