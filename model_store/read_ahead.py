"""Blocks of far files that are about to be read, fetched by a few threads ahead of the reader.

Holds a bounded number of bytes. For one reader at a time, of files that never change.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from model_store.files import Part

BLOCK_BYTES = 1 << 20
HELD_BYTES = 1 << 25
"""Of blocks that were read already and may be read again soon."""

_THREADS = 8
_AHEAD = 16

_Block = tuple[str, int]


class ReadAhead:
    """`fetch` gives so many bytes of a file from an offset, fewer where it ends."""

    def __init__(self, fetch: Callable[[str, int, int], bytes]) -> None:
        self._fetch = fetch
        self._threads = ThreadPoolExecutor(_THREADS, "read-ahead")
        self._coming: Iterator[_Block] = iter(())
        self._ahead: dict[_Block, Future[bytes]] = {}
        self._held: OrderedDict[_Block, bytes] = OrderedDict()
        self._held_bytes = 0

    def expect(self, parts: Iterable[Part]) -> None:
        """Begin to fetch these, in this order; what was expected before is so no more."""
        for fetching in self._ahead.values():
            fetching.cancel()
        self._ahead.clear()
        self._coming = _blocks(parts)
        self._go_ahead()

    def read(self, path: str, start: int, end: int) -> bytes | None:
        """These bytes; None where the first of them were not expected, or were dropped since."""
        pieces: list[bytes] = []
        while start < end:
            block, at = self._block((path, start // BLOCK_BYTES)), start % BLOCK_BYTES
            if block is None and not pieces:
                return None
            if block is None:
                block, at = self._fetch(path, start, end - start), 0
            piece = block[at : at + end - start]
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def hold(self, path: str, data: bytes) -> None:
        """A whole file that is at hand and may be read soon."""
        if len(data) <= HELD_BYTES // 2:
            for start in range(0, len(data), BLOCK_BYTES):
                self._hold((path, start // BLOCK_BYTES), data[start : start + BLOCK_BYTES])

    def forget(self) -> None:
        """Hold nothing."""
        self.expect(())
        self._held.clear()
        self._held_bytes = 0

    def _block(self, block: _Block) -> bytes | None:
        if block in self._held:
            self._held.move_to_end(block)
            return self._held[block]
        fetching = self._ahead.pop(block, None)
        if fetching is None:
            return None
        self._go_ahead()
        data = fetching.result()
        self._hold(block, data)
        return data

    def _hold(self, block: _Block, data: bytes) -> None:
        self._held_bytes += len(data) - len(self._held.pop(block, b""))
        self._held[block] = data
        while self._held_bytes > HELD_BYTES:
            self._held_bytes -= len(self._held.popitem(last=False)[1])

    def _go_ahead(self) -> None:
        while len(self._ahead) < _AHEAD:
            block = next(self._coming, None)
            if block is None:
                return
            if block not in self._held and block not in self._ahead:
                path, index = block
                self._ahead[block] = self._threads.submit(
                    self._fetch, path, index * BLOCK_BYTES, BLOCK_BYTES
                )


def _blocks(parts: Iterable[Part]) -> Iterator[_Block]:
    last = None
    for path, start, end in parts:
        for index in range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES)):
            if (path, index) != last:
                last = path, index
                yield last
