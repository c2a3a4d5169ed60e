"""Where very many tasks' entries lie, in as little memory as that takes."""

from collections.abc import Iterator, MutableMapping

from model_store.segment_file import Place

_LENGTH_BITS = 40
_START_BITS = 48


class Places(MutableMapping[str, Place]):
    """A place for each task, in the order in which they were put there.

    Each is kept as one whole number: three, in a tuple, take a hundred bytes more. Raises
    `ValueError` on an entry of a terabyte or more, or 256 of them into its segment.
    """

    def __init__(self) -> None:
        self._packed: dict[str, int] = {}

    def __getitem__(self, task_id: str) -> Place:
        packed = self._packed[task_id]
        length = packed & ((1 << _LENGTH_BITS) - 1)
        start = packed >> _LENGTH_BITS & ((1 << _START_BITS) - 1)
        return Place(packed >> (_LENGTH_BITS + _START_BITS), start, start + length)

    def __setitem__(self, task_id: str, place: Place) -> None:
        length = place.end - place.start
        if not 0 <= length < 1 << _LENGTH_BITS or not 0 <= place.start < 1 << _START_BITS:
            raise ValueError(f"no place of an entry: {place}")
        where = place.segment << _START_BITS | place.start
        self._packed[task_id] = where << _LENGTH_BITS | length

    def __delitem__(self, task_id: str) -> None:
        del self._packed[task_id]

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)
