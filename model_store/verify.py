"""Verify a whole store: read every file, and name each that is damaged, left over or foreign."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from model_store.bank_file import BANK_FILE
from model_store.compatibility import check_artifact
from model_store.errors import CorruptArtifact, CorruptStore, InvalidTaskName, StoreError
from model_store.files import TEMPORARY_PREFIX
from model_store.store import CURRENT_FILE, MANIFEST_FILE, TASKS_FOLDER, Store
from model_store.task_artifact import checked_task_name, parse_artifact

_SUFFIX = ".safetensors"


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
    findings = _foreign(store)
    for task_id in store.files.names(TASKS_FOLDER):
        findings += _task_findings(store, task_id)
    whole = sum(_loads(store, task_id) for task_id in store.task_ids())
    return Verification(whole, tuple(findings))


def _loads(store: Store, task_id: str) -> bool:
    try:
        store.load(task_id)
    except (StoreError, OSError):
        return False
    return True


def _foreign(store: Store) -> list[Finding]:
    known = {MANIFEST_FILE, TASKS_FOLDER}
    if store.network.manifest.bank.seed is None:
        known.add(BANK_FILE)
    return [
        Finding(name, _describe_foreign(name))
        for name in store.files.names("")
        if name not in known
    ]


def _describe_foreign(name: str) -> str:
    if name.startswith(TEMPORARY_PREFIX):
        return "left over from a write that did not finish; it can be removed"
    return "not a file of a store"


def _task_findings(store: Store, task_id: str) -> list[Finding]:
    folder = f"{TASKS_FOLDER}/{task_id}"
    if task_id.startswith(TEMPORARY_PREFIX):
        return [Finding(folder, _describe_foreign(task_id))]
    try:
        checked_task_name(task_id)
    except InvalidTaskName as error:
        return [Finding(folder, str(error))]
    findings = []
    names = store.files.names(folder)
    try:
        current = store.current_hash(task_id)
    except CorruptArtifact as error:
        findings.append(Finding(f"{folder}/{CURRENT_FILE}", str(error).partition(": ")[2]))
        current = None
    if current is not None and current + _SUFFIX not in names:
        findings.append(Finding(f"{folder}/{current}{_SUFFIX}", "missing, though it is current"))
    for name in names:
        if name == CURRENT_FILE:
            continue
        path = f"{folder}/{name}"
        if not name.endswith(_SUFFIX):
            findings.append(Finding(path, _describe_foreign(name)))
        elif problem := _artifact_problem(store, path, name.removesuffix(_SUFFIX)):
            findings.append(Finding(path, problem))
    return findings


def _artifact_problem(store: Store, path: str, content_hash: str) -> str | None:
    try:
        data = store.files.read(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    actual = hashlib.sha256(data).hexdigest()
    if actual != content_hash:
        return f"{len(data)} bytes that hash to {actual}, not to the file's name"
    try:
        check_artifact(store.network, parse_artifact(data))
    except StoreError as error:
        return str(error)
    return None
