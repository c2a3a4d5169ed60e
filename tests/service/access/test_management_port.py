"""What is for those who run the service, on a port of its own."""

from pathlib import Path

from starlette.testclient import TestClient

from model_store.store import Store
from service.access.rules import HTTP_RULES
from service.app import create_app
from service.readiness import Readiness
from service.settings import Settings

MANAGEMENT, OTHER = "http://127.0.0.1:9001", "http://127.0.0.1:8000"
MANAGED = {
    "PUT /v1/tasks/{task}",
    "DELETE /v1/tasks/{task}",
    "PUT /v1/tasks/{task}/versions/{version}",
    "DELETE /v1/tasks/{task}/versions/{version}",
    "PUT /v1/tasks/{task}/aliases/production",
    "PUT /v1/tasks/{task}/aliases/canary",
    "DELETE /v1/tasks/{task}/aliases/canary",
    "POST /v2/repository/models/{task}/load",
    "POST /v2/repository/models/{task}/unload",
    "GET /debug/plan",
    "GET /metrics",
}


def test_management_has_the_other_port_to_itself(store: Store) -> None:
    app = create_app(Settings(store=Path(str(store.files)), management_port=9001), Readiness())
    # Whatever the request itself says of the host.
    lying = {"Host": "127.0.0.1:9001"}
    there = TestClient(app, base_url=MANAGEMENT)
    with TestClient(app, base_url=OTHER) as elsewhere:
        for name in HTTP_RULES:
            method, path = name.replace("{task}", "task-0").replace("{version}", "no").split(" ")
            answer = elsewhere.request(method, path, headers=lying)
            refused = answer.status_code == 404 and "management port" in answer.text
            assert refused == (name in MANAGED), name
            assert "management port" not in there.request(method, path).text, name


def test_management_rules_are_those() -> None:
    assert {name for name, rule in HTTP_RULES.items() if rule.manages} == MANAGED
