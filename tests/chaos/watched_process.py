"""What the system says of a running service, and what the service says of itself."""

from pathlib import Path

import httpx2

from tests.service.test_replicas import sample, until


def descriptors(client: httpx2.Client) -> int:
    """Files and sockets that the service has open."""
    return len(list(Path(f"/proc/{client.headers['X-Pid']}/fd").iterdir()))


def resident_bytes(client: httpx2.Client) -> int:
    """Memory of the service's process."""
    status = Path(f"/proc/{client.headers['X-Pid']}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def at_rest(client: httpx2.Client, descriptors_before: int) -> bool:
    """Whether within seconds nothing is under way, waits or is open that was not before."""
    return until(
        lambda: (
            sample(client, "impress_requests_in_flight") == 1  # the one that asks
            and sample(client, "impress_queue_rows") == 0
            and descriptors(client) <= descriptors_before + 2
        )
    )
