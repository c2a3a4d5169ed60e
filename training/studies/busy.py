"""What one of several processes is at, so that the others do something else meanwhile."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_FOLDER = "busy"


@contextmanager
def only_here(folder: Path, name: str) -> Iterator[bool]:
    """True within the block if no other process is in one of that name in this folder, else False.

    It ends with the process that is in it, however that ends. Whether the work was done meanwhile
    is to be looked up inside.
    """
    path = folder / BUSY_FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        path.unlink(missing_ok=True)
