"""On whose behalf a request is: what the routes ask, which know no keys."""

from starlette.types import Scope

from service.access.key_ring import Key


def tenant_of(scope: Scope) -> str | None:
    """Of whoever asks; None where it has none, or no keys are asked for."""
    key: Key | None = scope.get("key")
    return None if key is None else key.tenant
