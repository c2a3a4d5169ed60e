"""Keys, the file that they come from and their quotas, put together, started and stopped."""

from dataclasses import dataclass

from service.access.key_ring import KeyRing
from service.access.key_watch import KeyWatch
from service.access.quotas import Quotas
from service.access.shared_quotas import SharedQuotas
from service.engine.engine import Engine
from service.settings import Settings
from service.watching.telemetry import Telemetry


@dataclass
class AccessControl:
    """Of a service that asks for keys."""

    ring: KeyRing
    watch: KeyWatch
    shared: SharedQuotas | None

    def start(self) -> None:
        """Follow the file, and share quotas where there is a Redis."""
        self.watch.start()
        if self.shared is not None:
            self.shared.start()

    async def close(self) -> None:
        """End both, before Redis' connections are closed."""
        await self.watch.close()
        if self.shared is not None:
            await self.shared.close()


def access_control(
    settings: Settings, engine: Engine, telemetry: Telemetry
) -> AccessControl | None:
    """By the settings; None where they name no file of keys.

    Raises `ValueError` or `OSError` where that has none that are good.
    """
    if settings.keys_file is None:
        return None
    quotas = Quotas(telemetry.rejected.labels("quota").inc)
    ring = KeyRing(quotas)
    watch = KeyWatch(settings.keys_file, ring)
    shared = None
    if engine.fleet is not None:
        shared = SharedQuotas(engine.fleet.link, engine.network, quotas)
    return AccessControl(ring, watch, shared)
