"""Verify a whole store: read every byte, and name what is damaged, left over or foreign."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_store.bank_file import BANK_FILE
from model_store.canary import Canary
from model_store.compatibility import check_artifact
from model_store.entry_names import CANARY, is_task, parted
from model_store.errors import CorruptArtifact, CorruptStore, StoreError
from model_store.files import TEMPORARY_PREFIX
from model_store.log_writer import LOCK_FILE, leftovers
from model_store.segment_file import Entry, Unreadable, heads_are_whole
from model_store.segment_list import LIST_FILE, SEGMENTS_FOLDER, segment_path
from model_store.store import MANIFEST_FILE, Store
from model_store.task_artifact import parse_artifact

_LEFT_OVER = "left over from a write that did not finish; it can be removed"
_TORN = "left over from a write that did not finish; the next compaction drops them"
_FOREIGN = "not a file of a store"


@dataclass(frozen=True)
class Finding:
    """One thing wrong, and the file it is wrong with, relative to the store."""

    path: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """How many tasks are whole, and all that is not."""

    tasks: int
    findings: tuple[Finding, ...]


def verify_store(folder: Path) -> Verification:
    """Read everything. Raises `StoreNotFound` where there is no store; all else is a finding."""
    try:
        store = Store.open(folder)
    except CorruptStore as error:
        path, _, problem = str(error).partition(": ")
        return Verification(0, (Finding(path, problem),))
    findings = [*_strange_files(store)]
    damaged: set[Entry] = set()
    for segment in store.log.segments:
        findings += _segment_findings(store, segment, damaged)
    tasks = set(filter(is_task, store.log.current))
    whole = len(tasks - {entry.task_id for entry in damaged})
    return Verification(whole, tuple(findings))


def _strange_files(store: Store) -> Iterator[Finding]:
    known = {MANIFEST_FILE, SEGMENTS_FOLDER, LIST_FILE, LOCK_FILE}
    known |= set(map(segment_path, store.log.segments))
    if store.network.manifest.bank.seed is None:
        known.add(BANK_FILE)
    left = set(leftovers(store.files, store.log.segments))
    if not store.files.segments_grow:
        # Others may be about to list these, or to read on in them; a compaction removes them.
        known |= left
        left.clear()
    within = (f"{SEGMENTS_FOLDER}/{name}" for name in store.files.names(SEGMENTS_FOLDER))
    for path in [*store.files.names(""), *within]:
        if path in left or path.startswith(TEMPORARY_PREFIX):
            yield Finding(path, _LEFT_OVER)
        elif path not in known:
            yield Finding(path, _FOREIGN)


def _segment_findings(store: Store, segment: int, damaged: set[Entry]) -> Iterator[Finding]:
    """What is wrong in a segment; adds to `damaged` what of it some task is served by."""
    path = segment_path(segment)
    for one in store.log.entries(segment):
        if isinstance(one, Unreadable):
            yield Finding(path, f"{one.end - one.start} bytes at {one.start} are no entry")
            continue
        problem = None if one.deletes else _content_problem(store, one)
        if problem is not None:
            if store.log.current.get(one.task_id) == one.place:
                damaged.add(one)
            yield Finding(path, problem)
        if not heads_are_whole(store.files.read_part(path, one.start, one.end - one.start), one):
            where = f"task {one.task_id!r} at byte {one.start}"
            yield Finding(path, f"{where}: one of its two heads is damaged; `compact` mends it")
    torn = store.log.torn_bytes(segment)
    if torn:
        yield Finding(path, f"{torn} bytes at its end: {_TORN}")


def _content_problem(store: Store, entry: Entry) -> str | None:
    try:
        data = store.log.read(entry)
    except CorruptArtifact as error:
        return str(error).removeprefix(f"{segment_path(entry.segment)}: ")
    try:
        if parted(entry.task_id)[1] == CANARY:
            Canary.from_bytes(data)
        else:
            check_artifact(store.network, parse_artifact(data))
    except StoreError as error:
        return f"task {entry.task_id!r} at byte {entry.start}: {error}"
    return None
