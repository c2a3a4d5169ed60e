"""What the linter is there to refuse it refuses, in the configuration that `make check` uses."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def findings(text: str, path: str) -> set[str]:
    """Codes that ruff finds in a module of this text at this place."""
    check = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    linted = subprocess.run(
        [*check, "--stdin-filename", path, "-"],
        input=f'"""A module."""\n\n{text}\n',
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        timeout=60,
        check=False,
    )
    assert linted.returncode in (0, 1)
    lines = [line for line in linted.stdout.splitlines() if line.startswith(path)]
    return {line.split(": ")[1].split()[0] for line in lines}


@pytest.mark.parametrize("path", ["service/engine/new.py", "training/new.py", "tests/test_new.py"])
@pytest.mark.parametrize(
    "text",
    [
        "import pickle\n\npickle.loads(b'')",
        "from pickle import loads\n\nloads(b'')",
        "import dill\n\ndill.loads(b'')",
        "import joblib\n\njoblib.load('x')",
        "import torch\n\ntorch.load('x')",
        "from torch import load\n\nload('x')",
        "import torch as t\n\nt.load('x', weights_only=False)",
        "import numpy as np\n\nnp.load('x', allow_pickle=True)",
        "import pandas as pd\n\npd.read_pickle('x')",
    ],
)
def test_what_would_run_a_file_is_refused(text: str, path: str) -> None:
    assert "TID251" in findings(text, path)


def test_reading_tensors_is_not_refused() -> None:
    text = "from safetensors.torch import load\n\nload(b'')"
    assert findings(text, "model_store/new.py") == set()
