"""Whether the service takes requests: it stops being ready when it is asked to stop."""

from dataclasses import dataclass


@dataclass
class Readiness:
    """Shared by the probe and the server that receives signals."""

    draining: bool = False
