"""The program as its users start it."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_says_its_version_and_what_its_exit_status_means() -> None:
    assert program("--version").stdout == f"impress {version('impress')}\n"
    told = " ".join(program("--help").stdout.split())
    assert "Exit status: 0 done; 1 done, with a bad result" in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_completes_its_commands(shell: str) -> None:
    words = {"COMP_WORDS": "impress ta", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "impress ta"}
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = subprocess.run(
        [sys.executable, "-c", "from client.__main__ import app; app(prog_name='impress')"],
        cwd=ROOT,
        env=os.environ | words | fish | {"_IMPRESS_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "task" in found.stdout
    assert "bench" not in found.stdout


def at_a_terminal() -> None:
    # What a shell started beside it ignores Ctrl-C, and so would whatever that starts.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_it_without_a_traceback(service_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "client", "top", "--json", "--interval", "0.2"],
        cwd=ROOT,
        env=os.environ | {"IMPRESS_URL": service_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=at_a_terminal,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said
