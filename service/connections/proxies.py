"""Who calls, where a trusted proxy says so: by uvicorn's own rule, which holds for ASGI too."""

from collections.abc import Mapping

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_FORWARDED_FOR = b"x-forwarded-for"


class Proxies:
    """Those at trusted addresses or networks, comma-separated, or `*`."""

    def __init__(self, trusted: str) -> None:
        # The rule comes with a middleware, which is not used.
        self._trusted = ProxyHeadersMiddleware(_nothing, trusted).trusted_hosts

    def caller(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """The address of whoever calls, by that of whoever is connected."""
        forwarded_for = headers.get(_FORWARDED_FOR)
        if forwarded_for is None or peer not in self._trusted:
            return peer
        host, _ = self._trusted.get_trusted_client_address(forwarded_for.decode("latin-1"))
        return host or peer


async def _nothing(*_: object) -> None:
    """An application that is never called."""
