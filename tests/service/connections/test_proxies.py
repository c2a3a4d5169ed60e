import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.connections.proxies import Proxies

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("trusted", ["127.0.0.1", "*", "10.0.0.0/8, 127.0.0.1", "10.1.1.1"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "10.2.3.4", "192.0.2.1", ""])
@pytest.mark.parametrize(
    "said",
    [None, "", "192.0.2.7", "192.0.2.7, 10.1.1.1", "10.1.1.1", "[2001:db8::1]:80", "é, ,", "a:b:c"],
)
async def test_caller_is_whom_uvicorn_would_name(trusted: str, peer: str, said: str | None) -> None:
    headers = {} if said is None else {b"x-forwarded-for": said.encode("latin-1")}
    seen: list[Scope] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope = {"type": "http", "client": (peer, 5) if peer else None, "headers": [*headers.items()]}
    await ProxyHeadersMiddleware(note, trusted)(scope, note, note)  # type: ignore[arg-type]
    client = seen[0]["client"]
    assert Proxies(trusted).caller(peer, headers) == (client[0] if client else "")
