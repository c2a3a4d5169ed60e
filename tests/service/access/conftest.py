"""A service with keys of every kind, on a store with shared tasks and those of two tenants."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model_store.store import Store
from service.app import Application, create_app
from service.readiness import Readiness
from service.settings import Settings
from tests.service.access.key_files import scoped, written
from tests.service.artifacts import MakeArtifact

Headers = dict[str, str]


@pytest.fixture
def tenants_store(store: Store, make_artifact: MakeArtifact) -> Store:
    """Shared are task-0 to task-3 and masked; acme has `private`, zeta `task-0` and `hidden`."""
    store.publish("acme~private", make_artifact(11))
    store.publish("zeta~task-0", make_artifact(12))
    store.publish("zeta~hidden", make_artifact(13))
    return store


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def keys(keys_file: Path) -> dict[str, Headers]:
    """Headers by the key's name; written to `keys_file`."""
    secrets = written(
        keys_file,
        predict=scoped("predict"),
        publish=scoped("publish"),
        admin=scoped("admin"),
        acme=scoped("predict", "publish", tenant="acme"),
        zeta=scoped("predict", "publish", tenant="zeta"),
        bare=scoped("predict", tenant="bare"),
        full=scoped("publish", tenant="zeta", most_tasks=3),
        full_too=scoped("publish", most_tasks=0),
        slow=scoped("predict", requests_per_second=0.01, burst_seconds=300),
        narrow=scoped("predict", tenant="acme", rows_per_second=0.01, burst_seconds=200),
    )
    return {name: {"Authorization": secret} for name, secret in secrets.items()}


@pytest.fixture
def app(tenants_store: Store, keys_file: Path, keys: dict[str, Headers]) -> Application:
    settings = Settings(
        store=Path(str(tenants_store.files)), keys_file=keys_file, inference_margin_nats=0
    )
    return create_app(settings, Readiness())


@pytest.fixture
def asking(app: Application) -> Callable[[], TestClient]:
    """A client whose service runs while it is open."""
    return lambda: TestClient(app, raise_server_exceptions=False, follow_redirects=False)
