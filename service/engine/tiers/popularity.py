"""How often each task was asked for lately. Decides nothing.

As TinyLFU (1512.00435) ages its counts by a window of requests, but exact: so few tasks are asked
for in a window that a dictionary holds them.
"""


class Popularity:
    """Counts over the last one to two windows of requests, and memory for as many tasks."""

    def __init__(self, window: int) -> None:
        if window < 1:
            raise ValueError(f"expected a window of at least one request, got {window}")
        self._window = window
        self._left = window
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._fresh: dict[str, int] = {}

    def count(self, key: str) -> None:
        """One request for the task of that key."""
        self._now[key] = self._now.get(key, 0) + 1
        self._fresh[key] = self._fresh.get(key, 0) + 1
        self._left -= 1
        if not self._left:
            self._left = self._window
            self._before, self._now = self._now, {}
            if len(self._fresh) > self._window:  # nobody takes them
                self._fresh = {}

    def of(self, key: str) -> int:
        """How often it was asked for lately."""
        return self._now.get(key, 0) + self._before.get(key, 0)

    def fresh(self) -> dict[str, int]:
        """The counts since this was called last; perhaps not all, where that was long ago."""
        fresh, self._fresh = self._fresh, {}
        return fresh
