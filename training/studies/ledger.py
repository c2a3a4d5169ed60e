"""Everything that a report has measured, a JSON line each. Measures nothing itself.

A line is whole or does not count, so a run that was killed goes on where it was; several processes
may add to one ledger side by side.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEDGER_FILE = "measurements.jsonl"

Asked = Mapping[str, Any]
"""Everything that says what was to be measured: a changed setting is another measurement."""

Got = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line: what was asked for, what came of it, and on which machine."""

    asked: Asked
    got: Got
    machine: str


class Ledger:
    """The lines of `measurements.jsonl` in a report's folder; the last of several alike counts."""

    def __init__(self, folder: Path, machine: str) -> None:
        self._path = folder / LEDGER_FILE
        self.machine = machine
        self._entries: dict[str, Entry] = {}
        self.read()

    def read(self) -> None:
        """Take up what other processes have added."""
        if self._path.exists():
            for line in self._path.read_bytes().split(b"\n"):
                entry = _parsed(line)
                if entry is not None:
                    self._entries[_key(entry.asked)] = entry

    def find(self, asked: Asked) -> Entry | None:
        """What was measured of exactly this; None where nothing was."""
        return self._entries.get(_key(asked))

    def add(self, asked: Asked, got: Got) -> Entry:
        """Keep a measurement: on disk when this returns."""
        line = json.dumps({"asked": asked, "got": got, "machine": self.machine}, sort_keys=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # One write at the end of the file: lines of two processes never mix.
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" * torn + line.encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        entry = Entry(**json.loads(line))
        self._entries[_key(asked)] = entry
        return entry


def _key(asked: Asked) -> str:
    return json.dumps(asked, sort_keys=True)


def _parsed(line: bytes) -> Entry | None:
    # A run that was killed may have left a line without its end.
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None
