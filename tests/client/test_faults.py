"""Both clients against servers that refuse, break, hang or are no service at all."""

import inspect
import pickle  # noqa: TID251 errors travel between processes, which is claimed here
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client.asynchronous import AsyncClient
from client.blocking import Client
from client.errors import (
    ClientError,
    Conflict,
    ConnectionBroke,
    DeadlinePassed,
    Forbidden,
    InvalidInput,
    InvalidRequest,
    NotFound,
    Refused,
    ServerAway,
    ServerFailed,
    TooLate,
    Unavailable,
    UnexpectedAnswer,
)
from client.retries import Retries
from tests.client.conftest import Ask
from tests.client.scripted_server import Break, Hang, Say, Step, problem, scripted, tensors
from tests.real_parts import free_port

QUICK = Retries(attempts=4, first_wait_seconds=0.01, longest_wait_seconds=2)
PREDICTION = Say(
    body={
        "task": "task-1",
        "version": "ab",
        "predictions": [{"label": "ant", "probability": 0.75}],
    }
)
INFO = Say(body={"name": "impress", "version": "9.8.7", "extensions": []})
DETAILS = {
    "task": "new",
    "version": "ab",
    "kind": "coefficients",
    "classes": ["ant"],
    "artifact_bytes": 2,
    "tensor_bytes": 1,
    "held_out_accuracy": None,
    "provenance": {},
    "rows_predicted": 0,
}

What = Callable[[Any], Any]


def server_info(client: Any) -> Any:
    return client.server()


def predict(client: Any) -> Any:
    return client.predict([0.5, 0.5])


def push(client: Any) -> Any:
    return client.push("new", b"artifact")


def delete(client: Any) -> Any:
    return client.delete("new")


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def described(kind: type) -> dict[str, list[str]]:
        return {
            name: [str(one) for one in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert described(Client) == described(AsyncClient)


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_refused_for_now_is_sent_again_no_sooner_than_asked(ask: Ask, status: int) -> None:
    with scripted(problem(status, Retry_After="1"), PREDICTION) as server:
        found = ask(server.url, predict, retries=QUICK)
    assert found.labels == ("ant",)
    first, second = server.asked
    assert second.at - first.at >= 1
    assert second.body == first.body


def test_a_service_that_asks_for_too_long_a_wait_is_asked_once(ask: Ask) -> None:
    with (
        scripted(problem(503, "queue full", Retry_After="60")) as server,
        pytest.raises(Unavailable, match="queue full") as caught,
    ):
        ask(server.url, predict, retries=QUICK)
    assert caught.value.retry_after_seconds == 60
    assert len(server.asked) == 1


def test_patience_ends_with_the_attempts(ask: Ask) -> None:
    with scripted(problem(503, Retry_After="0")) as server, pytest.raises(Unavailable):
        ask(server.url, predict, retries=QUICK)
    assert len(server.asked) == QUICK.attempts


def test_probes_are_never_waited_for(ask: Ask) -> None:
    with scripted(problem(503, "the service is draining", Retry_After="0")) as server:
        found = ask(server.url, lambda client: client.ready(), retries=QUICK)
    assert (found.ready, found.because) == (False, "the service is draining")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("what", "answer"),
    [(server_info, INFO), (predict, PREDICTION), (push, Say(201, DETAILS))],
)
def test_what_may_be_done_twice_is_sent_again_over_a_new_connection(
    ask: Ask, what: What, answer: Say
) -> None:
    with scripted(Break(), Break(), answer) as server:
        ask(server.url, what, retries=QUICK)
    assert len(server.asked) == 3


def test_a_delete_whose_fate_is_unknown_is_not_sent_again(ask: Ask) -> None:
    with scripted(Break(), Say(204, b"")) as server:
        with pytest.raises(ConnectionBroke, match="DELETE /v1/tasks/new"):
            ask(server.url, delete, retries=QUICK)
        assert len(server.asked) == 1


def test_a_delete_that_was_refused_for_now_is_sent_again(ask: Ask) -> None:
    with scripted(problem(503, Retry_After="0"), Say(204, b"")) as server:
        assert ask(server.url, delete, retries=QUICK) is None
    assert [one.method for one in server.asked] == ["DELETE", "DELETE"]


@pytest.mark.parametrize("what", [predict, delete])
def test_where_nothing_listens_the_server_is_away(ask: Ask, what: What) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerAway, match=f"no connection to {url}"):
        ask(url, what, retries=QUICK)


def test_a_server_that_hangs_is_given_up_at_the_deadline_and_not_asked_again(ask: Ask) -> None:
    with (
        scripted(Hang()) as server,
        pytest.raises(DeadlinePassed, match=r"no answer from .* within 0.2 s"),
    ):
        ask(server.url, predict, retries=QUICK, timeout_seconds=0.2)
    assert len(server.asked) == 1


def test_each_attempt_tells_the_service_what_time_is_left(ask: Ask) -> None:
    with scripted(Break(), Break(), PREDICTION) as server:
        ask(server.url, predict, retries=QUICK, timeout_seconds=20)
    told = [float(one.headers["x-request-timeout-ms"]) for one in server.asked]
    assert 20_000 >= told[0] > told[1] > told[2] > 0


def test_a_call_has_a_deadline_of_its_own_where_it_is_given_one(ask: Ask) -> None:
    def predict_soon(client: Any) -> Any:
        return client.predict([0.5], timeout_seconds=3)

    with scripted(PREDICTION) as server:
        ask(server.url, predict_soon, timeout_seconds=20)
    assert float(server.asked[0].headers["x-request-timeout-ms"]) <= 3000


def test_without_a_deadline_the_service_is_told_of_none(ask: Ask) -> None:
    with scripted(PREDICTION) as server:
        ask(server.url, predict, timeout_seconds=None)
    assert "x-request-timeout-ms" not in server.asked[0].headers


def test_no_deadline_is_longer_than_the_service_takes(ask: Ask) -> None:
    with scripted(PREDICTION) as server:
        ask(server.url, predict, timeout_seconds=1_000_000)
    assert float(server.asked[0].headers["x-request-timeout-ms"]) == 3_600_000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (413, InvalidRequest),
        (422, InvalidRequest),
        (500, ServerFailed),
        (504, TooLate),
    ],
)
def test_a_refusal_is_an_exception_of_its_kind_with_the_request_id(
    ask: Ask, status: int, kind: type[Refused]
) -> None:
    with scripted(problem(status, "what is wrong")) as server, pytest.raises(Refused) as caught:
        ask(server.url, predict, retries=QUICK)
    assert type(caught.value) is kind
    assert str(caught.value) == f"{status} Title: what is wrong"
    assert caught.value.request_id == "r-1"
    assert len(server.asked) == 1


def test_a_refusal_crosses_to_another_process_whole(ask: Ask) -> None:
    with scripted(problem(503, Retry_After="60")) as server, pytest.raises(Refused) as caught:
        ask(server.url, predict)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is Unavailable
    assert (str(copy), copy.request_id) == (str(caught.value), "r-1")
    assert copy.retry_after_seconds == 60


def test_a_deadline_that_the_service_saw_pass_is_caught_as_one(ask: Ask) -> None:
    with scripted(problem(504)) as server, pytest.raises(DeadlinePassed):
        ask(server.url, predict)


PAGE = Say(404, b"<html><h1>nginx</h1>  not here</html>", {"Content-Type": "text/html"})


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (PAGE, "is this its address"),
        (Say(200, b"<html>welcome</html>", {"Content-Type": "text/html"}), "another version"),
        (Say(200, {"task": "t"}), "version: Field required"),
        (Say(308, b"", {"Location": "https://elsewhere"}), "it is at https://elsewhere"),
        (Say(500, {"detail": "no problem document"}), "500 Internal Server Error"),
        (Say(400, b"[]", {"Content-Type": "application/problem+json"}), "400 Bad Request"),
    ],
)
def test_another_server_is_told_from_a_refusal(ask: Ask, step: Step, said: str) -> None:
    with scripted(step) as server, pytest.raises(UnexpectedAnswer, match=said):
        ask(server.url, predict)


@pytest.mark.parametrize("shape", [(1, 2), (3, 2), (2, 1, 2), (4,)])
def test_an_answer_for_other_rows_than_were_sent_is_none(ask: Ask, shape: tuple[int, ...]) -> None:
    with (
        scripted(tensors(np.ones(shape, np.float32), ["ant"] * 2)) as server,
        pytest.raises(UnexpectedAnswer, match="expected 2 rows"),
    ):
        ask(server.url, lambda client: client.predict([[0.5], [0.5]], "t"))


def test_a_gateway_without_a_service_behind_it_is_asked_again(ask: Ask) -> None:
    gateway = Say(502, b"<html>", {"Content-Type": "text/html"})
    with scripted(gateway, INFO) as server:
        assert ask(server.url, server_info, retries=QUICK).version == "9.8.7"
    with scripted(gateway, Say(204, b"")) as server, pytest.raises(Unavailable):
        ask(server.url, delete, retries=QUICK)


def test_the_key_is_sent_and_never_shown(ask: Ask) -> None:
    with scripted(INFO) as server:
        ask(server.url, server_info, api_key="s3cret")
    assert server.asked[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(Client(api_key="s3cret").connection)


@pytest.mark.parametrize("key", ["", "two words", "líne", "a\r\nX-Other: b"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Client(api_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="url: "):
        Client(url)


@pytest.mark.parametrize("name", ["", ".", "..", "\ud800", "x" * 100_000])
def test_a_name_that_would_be_another_address_is_not_sent(ask: Ask, name: str) -> None:
    with scripted(INFO) as server:
        for what in (
            lambda client: client.delete(name),
            lambda client: client.show(name),
            lambda client: client.predict([0.5], name),
            lambda client: client.probabilities([0.5], name),
        ):
            with pytest.raises(InvalidInput, match="expected a task's name"):
                ask(server.url, what)
    assert server.asked == []


def test_a_name_stays_one_part_of_the_path(ask: Ask) -> None:
    with scripted(problem(404)) as server, pytest.raises(ClientError):
        ask(server.url, lambda client: client.show("a/../b?c#d%e é"))
    assert server.asked[0].path == "/v1/tasks/a%2F..%2Fb%3Fc%23d%25e%20%C3%A9"


def test_a_path_before_the_services_own_is_kept(ask: Ask) -> None:
    with scripted(INFO) as server:
        ask(f"{server.url}/models/", server_info)
    assert server.asked[0].path == "/models/v2"
