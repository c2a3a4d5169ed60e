"""Whether the same seed makes the same store to the byte: made twice, in two processes."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from training.errors import TrainingError
from training.studies.claims import at_most
from training.studies.ledger import Asked
from training.studies.study import Bench, Section

OPTIONS = (
    "--data digits --stream permuted --kind heterogeneous --size 2 --tasks 2 --epochs 1 "
    "--store-seed 3 --seed 3 --device cpu"
)
SOURCE_DATE_EPOCH = "1700000000"

TEXT = f"""`impress-train stream {OPTIONS}` runs twice, with SOURCE_DATE_EPOCH set: two impressions
are learned, then two tasks over them."""


class StoreHashes:
    """Two runs of one command, and the hashes of every file that each wrote."""

    name = "store-hashes"
    title = "Same seed, same store"
    parts = ("digits",)
    timed = False

    def run(self, bench: Bench, part: str) -> None:
        if bench.ledger.find(self._asked()) is not None:
            return
        with tempfile.TemporaryDirectory(prefix="impress-hashes-") as folder:
            first, second = (_made(Path(folder) / name) for name in ("first", "second"))
        names = sorted(first.keys() | second.keys())
        differing = [name for name in names if first.get(name) != second.get(name)]
        bench.ledger.add(self._asked(), {"files": len(names), "differing": differing})
        bench.say(f"{self.name}: {len(names)} files, {len(differing)} of them differ")

    def section(self, bench: Bench) -> Section:
        entry = bench.ledger.find(self._asked())
        differing = None if entry is None else len(entry.got["differing"])
        claim = at_most("files that differ between two stores of one seed", differing, 0, "files")
        if entry is None:
            return Section(f"{TEXT}\n\nNot measured.", [claim])
        words = f"{entry.got['files']} files, {differing} of which differ."
        return Section(f"{TEXT}\n\n{words}", [claim], machines=frozenset({entry.machine}))

    def _asked(self) -> Asked:
        return {"study": self.name, "options": OPTIONS, "torch": str(torch.__version__)}


def _made(store: Path) -> dict[str, str]:
    command = [sys.executable, "-m", "training", "stream", "--store", str(store), *OPTIONS.split()]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH}
    done = subprocess.run(  # noqa: S603 - our own program, and no argument is a stranger's
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TrainingError(f"a store could not be made: {done.stderr.strip()[-500:]}")
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }
