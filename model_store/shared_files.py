"""What an object store can do that a folder cannot: put something only where nobody else did."""

from collections.abc import Mapping
from typing import Protocol

from model_store.files import Files

Version = Mapping[str, str]
"""What tells one content of a path from any other that it had or will have; otherwise opaque."""


class SharedFiles(Files, Protocol):
    """Files that many machines write at once, without a lock."""

    def read_version(self, path: str) -> tuple[bytes, Version]:
        """The whole file, and which version it is. Raises `FileNotFoundError`."""

    def replace(self, path: str, data: bytes, version: Version) -> bool:
        """As `write`, but only in the place of that version.

        False where another is there, which may be this very data: a store that was asked twice,
        because its first answer was lost, refuses the second. After an `OSError`, too, only reading
        tells what came of it.
        """

    def ages(self, folder: str) -> dict[str, float]:
        """How many seconds older than the newest file below that folder each path of it is."""
