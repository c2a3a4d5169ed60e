"""A service on a real store as a real process, and each client to ask it with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from client.asynchronous import AsyncClient
from client.blocking import Client
from model_store.network import FrozenNetwork
from model_store.store import Store
from tests.real_parts import running_service
from tests.service.artifacts import MakeArtifact
from tests.service.conftest import make_artifact, network

__all__ = ["make_artifact", "network"]


class Ask(Protocol):
    """Asks a service at an address through one of the clients, and answers what that does."""

    def __call__(self, url: str, what: Callable[[Any], Any], **options: Any) -> Any: ...


def _ask_blocking(url: str, what: Callable[[Client], Any], **options: Any) -> Any:
    with Client(url, **options) as client:
        return what(client)


def _ask_asynchronous(
    url: str, what: Callable[[AsyncClient], Awaitable[Any]], **options: Any
) -> Any:
    async def asked() -> Any:
        async with AsyncClient(url, **options) as client:
            return await what(client)

    return asyncio.run(asked())


@pytest.fixture(params=[_ask_blocking, _ask_asynchronous], ids=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


@pytest.fixture(scope="session")
def store_folder(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, make_artifact: MakeArtifact
) -> Path:
    folder = tmp_path_factory.mktemp("client") / "store"
    store = Store.create(folder, network)
    for index in range(4):
        store.publish(f"task-{index}", make_artifact(index))
    return folder


@pytest.fixture(scope="session")
def service_url(store_folder: Path) -> Iterator[str]:
    """A service that always names a task, with task-0 to task-3; others come and go."""
    with running_service(store_folder, INFERENCE_MARGIN_NATS="0") as http:
        yield str(http.base_url).rstrip("/")
