"""Whether the service takes requests: it stops being ready when it is asked to stop."""

from dataclasses import dataclass

from service.engine.registry.follower import Follower


@dataclass
class Readiness:
    """Shared by the probe and the server that receives signals."""

    draining: bool = False


def why_unready(readiness: Readiness, follower: Follower) -> str | None:
    """Why requests are better sent elsewhere; None where they are welcome."""
    if readiness.draining:
        return "the service is draining and will stop"
    return follower.unready
