"""Finds the entries that make a computation fail, so that the others get their answers."""

from collections.abc import Callable, Sequence

from service.engine.registry.entries import Answer, Entry, Payload, Rows


def isolated(
    compute: Callable[[Sequence[Entry[Payload]]], Sequence[Rows]],
    entries: Sequence[Entry[Payload]],
) -> list[Answer]:
    """One answer for each of `entries`, where `compute` fails as a whole.

    Halves what failed until it works or is alone: one bad entry among n costs about 2 log2(n) more
    calls where each alone would cost n; and where memory ran out, the halves may fit.
    """
    try:
        return list(compute(entries))
    except Exception as error:  # the batch boundary: every waiter is resolved
        if len(entries) == 1:
            return [error]
    middle = len(entries) // 2
    return isolated(compute, entries[:middle]) + isolated(compute, entries[middle:])
