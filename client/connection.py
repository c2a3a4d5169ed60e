"""What both clients are made of: where the service is, who asks, and how patiently."""

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import httpx2

from client.errors import InvalidInput
from client.retries import Retries

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Connection:
    """An address, checked, and what every request to it says."""

    url: str = DEFAULT_URL
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float | None = 30
    """For a call with all its attempts, and each wait for bytes of its answer; None: for ever."""
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        try:
            address = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise InvalidInput(f"url: {error}, got {self.url!r}") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise InvalidInput(f"url: expected http://HOST:PORT or https://HOST, got {self.url!r}")
        key = self.api_key
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            # It is a secret: what is wrong with it is not shown.
            raise InvalidInput("api_key: expected visible ASCII characters without spaces")

    @property
    def headers(self) -> dict[str, str]:
        """Sent with every request."""
        found = {"User-Agent": f"impress/{client_version()}"}
        if self.api_key is not None:
            found["Authorization"] = f"Bearer {self.api_key}"
        return found


def client_version() -> str:
    """Of the installed package; "unknown" where it runs from a bare folder."""
    try:
        return version("impress")
    except PackageNotFoundError:
        return "unknown"
