"""What something takes on a GPU: without launching it, or of whoever waits for it."""

import statistics
import time
from collections.abc import Callable

import torch

_WARM = 3
_REPLAYS = 10


def device_seconds(run: Callable[[], object], calls: int) -> float:
    """Of one call among so many in a row, which were recorded before and are only replayed.

    What they return is all kept, so that none finds its memory in a cache for having just been
    written by the one before.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [run() for _ in range(calls)]
    taken: list[float] = []
    for _ in range(_WARM + _REPLAYS):
        started = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # as above
        ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # as above
        started.record()
        graph.replay()
        ended.record()
        ended.synchronize()
        taken.append(started.elapsed_time(ended) / 1e3 / len(kept))
    return statistics.median(taken[_WARM:])


def waited_seconds(run: Callable[[], object], repeats: int = 30) -> float:
    """Of a call until its result is there, launching included: the median."""
    taken = []
    for _ in range(_WARM + repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[_WARM:])


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of copying half a gigabyte."""
    source = torch.zeros(1 << 27, device=device)
    into = torch.empty_like(source)
    seconds = device_seconds(lambda: into.copy_(source), 4)
    return 2 * source.numel() * source.element_size() / seconds
