import json
from pathlib import Path

import pytest

from model_store.network import FrozenNetwork
from model_store.store import Store
from tests.client.commands.conftest import Impress, document
from tests.client.scripted_server import Say, problem, scripted
from tests.damage import damage_content
from tests.real_parts import RedisServer, free_port, running_service
from tests.service.artifacts import MakeArtifact

INFO = Say(body={"name": "impress", "version": "0.1.0"})
ALIVE = Say(body={"live": True})


def by_name(findings: list[dict[str, str]], what: str) -> list[dict[str, str]]:
    return [one for one in findings if one["what"] == what]


def test_nothing_is_wrong_with_a_service_that_works(impress: Impress) -> None:
    findings = document(impress("doctor", "--json"))["findings"]
    assert {one["state"] for one in findings} == {"ok"}
    assert [one["what"] for one in findings] == [
        "reachable", "version", "ready", "tasks", "redis", "ping", "prediction", "counts"
    ]  # fmt: skip
    told = impress("doctor").stdout
    assert "ok  tasks: 4 registered" in told
    assert "ok  redis: not configured" in told


def test_a_service_that_is_away_ends_with_four_and_what_to_do(impress: Impress) -> None:
    result = impress("doctor", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 4
    assert "start it (impress-serve)" in result.stdout
    result = impress("doctor", "--url", "http://nosuchhost.invalid", "--json")
    assert result.exit_code == 4
    assert "name is not known" in json.loads(result.stdout)["findings"][-1]["advice"]


def test_another_server_is_told_from_ours(impress: Impress) -> None:
    page = Say(404, b"<html>nginx</html>", {"Content-Type": "text/html"})
    with scripted(page) as server:
        result = impress("doctor", "--url", server.url)
    assert result.exit_code == 4
    assert "another server listens there" in result.stdout
    with scripted(ALIVE, Say(body={"name": "triton", "version": "2"}), problem(404)) as server:
        result = impress("doctor", "--url", server.url)
    assert result.exit_code == 1
    assert "it is 'triton', not impress" in result.stdout


def test_a_path_too_many_is_said(impress: Impress, service_url: str) -> None:
    result = impress("doctor", "--url", f"{service_url}/v1")
    assert result.exit_code == 4
    assert "has the path /v1" in result.stdout
    assert "give its address without one" in result.stdout


def test_a_service_that_is_not_ready_says_why(impress: Impress) -> None:
    with scripted(ALIVE, INFO, problem(503, "the service is draining")) as server:
        result = impress("doctor", "--url", server.url)
    assert result.exit_code == 1
    assert "!!  ready: not ready: the service is draining" in result.stdout


def test_a_service_of_another_version_is_worth_a_thought(impress: Impress) -> None:
    newer = Say(body={"name": "impress", "version": "7.0.0"})
    with scripted(ALIVE, newer, problem(503)) as server:
        result = impress("doctor", "--url", server.url, "--json")
    (finding,) = by_name(json.loads(result.stdout)["findings"], "version")
    assert finding["state"] == "warning"
    assert finding["said"].startswith("service 7.0.0, client ")


def test_damaged_tasks_and_a_redis_that_is_down_are_named(
    impress: Impress, tmp_path: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store = Store.create(tmp_path / "store", network)
    for name in ("good", "hurt"):
        store.publish(name, make_artifact(1))
    damage_content(tmp_path / "store", "hurt")
    redis = RedisServer()
    with running_service(tmp_path / "store", REDIS_URL=redis.url) as http:
        result = impress("doctor", "--url", http.base_url, "--json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)["findings"]
    assert [one["said"] for one in by_name(findings, "tasks")] == [
        "1 registered", "1 could not be loaded: hurt"
    ]  # fmt: skip
    (redis_finding,) = by_name(findings, "redis")
    assert redis_finding["said"].startswith("configured and down")


def test_an_empty_store_is_worth_a_thought(
    impress: Impress, tmp_path: Path, network: FrozenNetwork
) -> None:
    Store.create(tmp_path / "store", network)
    with running_service(tmp_path / "store") as http:
        result = impress("doctor", "--url", http.base_url)
    assert result.exit_code == 0
    assert "the store has no task" in result.stdout


def test_a_proxy_that_stands_between_is_said_without_its_password(impress: Impress) -> None:
    proxy = "http://user:s3cret@192.0.2.9:3128"
    told = impress("doctor", "--url", "http://service.test", "--timeout", "0.2", http_proxy=proxy)
    assert "through the proxy 192.0.2.9" in told.stdout
    assert "NO_PROXY=service.test" in told.stdout
    assert "s3cret" not in told.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url", "http://127.0.0.1:1/v1"), "has the path /v1"),
        (("--url", "http://192.0.2.1:1", "--api-key", "k"), "the key travels in the clear"),
    ],
)
def test_an_address_that_looks_wrong_is_said(
    impress: Impress, options: tuple[str, ...], said: str
) -> None:
    assert said in impress("doctor", "--timeout", "0.2", *options).stdout
