"""Damage to a store's segments, done to their bytes."""

from pathlib import Path

from model_store.segment_list import segment_path
from model_store.store import Store


def damage_content(folder: Path, task_id: str) -> None:
    """Flip the bits of the last byte of a task's current artifact."""
    store = Store.open(folder)
    entry = store.log.current_entry(task_id)
    assert entry is not None
    flip(folder / segment_path(entry.segment), entry.content_start + entry.length - 1, 0xFF)


def flip(path: Path, at: int, bits: int) -> None:
    """Flip bits of one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)
