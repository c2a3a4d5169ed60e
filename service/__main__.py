"""`python -m service`: read the settings, open the store, serve until told to stop."""

import resource
import sys
from asyncio import Protocol
from functools import partial
from typing import cast

import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp

from model_store.errors import StoreError
from service.app import create_app
from service.connections.bounded_protocol import BoundedProtocol
from service.connections.direct_protocol import DirectProtocol
from service.readiness import Readiness
from service.server import DrainingServer, sockets_of
from service.settings import Settings
from service.watching.logs import configure_logs


def _allow_all_files() -> None:
    # Every connection is one, and a shell allows fewer than the system does.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Serve; exits 2 with a sentence where settings or store do not allow a start."""
    readiness = Readiness()
    try:
        settings = CliApp.run(Settings)
        configure_logs(settings.log_format, settings.log_level, settings.audit_file)
        app = create_app(settings, readiness)
    except ValidationError as error:
        for one in error.errors():
            name = ".".join(str(part) for part in one["loc"])
            print(f"error: {name + ': ' if name else ''}{one['msg']}", file=sys.stderr)  # noqa: T201 the start's own message
        sys.exit(2)
    except (StoreError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 the start's own message
        sys.exit(2)
    _allow_all_files()
    # What is answered without ASGI is seen neither by uvicorn's access log nor by a trace.
    takes_direct = not settings.access_log and not settings.trace_share
    protocol = partial(DirectProtocol, app.direct) if takes_direct else BoundedProtocol
    config = uvicorn.Config(
        app,
        http=cast(type[Protocol], protocol),  # uvicorn only ever calls it
        host=settings.host,
        port=settings.port,
        access_log=settings.access_log,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = DrainingServer(
        config, readiness, settings.drain_seconds, app.slow_callers, app.reload_keys
    )
    server.run(sockets_of(config, settings.management_port))


if __name__ == "__main__":
    main()
