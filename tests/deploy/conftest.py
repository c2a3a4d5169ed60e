"""Where the deployment's files are, and the programs that judge them."""

import os
import shutil
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return _ROOT


@pytest.fixture(scope="session")
def environment_programs() -> str:
    """A PATH on which the programs of this environment come first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@pytest.fixture(scope="session")
def promtool() -> Path:
    found = shutil.which("promtool") or shutil.which("promtool", path=str(_ROOT / ".tools"))
    if found is None:
        pytest.skip(
            "no promtool: put it on the PATH (Debian and Ubuntu: package prometheus), "
            "or run `make .tools/promtool` after `apt-get update`"
        )
    return Path(found)
