"""Processes that share a study's jobs: what one is at, the others leave alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from training.studies.busy import BUSY_FOLDER, only_here

HOLD = """
import sys, time
from pathlib import Path
from training.studies.busy import only_here
with only_here(Path(sys.argv[1]), "job") as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


def test_what_another_is_at_is_left_alone_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with only_here(tmp_path, "job") as alone, only_here(tmp_path, "another job") as free:
            assert (alone, free) == (False, True)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with only_here(tmp_path, "job") as alone:
        assert alone


def test_nothing_is_left_of_what_is_done(tmp_path: Path) -> None:
    with only_here(tmp_path, "job"):
        assert [path.name for path in (tmp_path / BUSY_FOLDER).iterdir()] == ["job"]
    assert list((tmp_path / BUSY_FOLDER).iterdir()) == []
