"""The peers' environments, one for each file of requirements, in a folder that git ignores."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.roster import Peer
from benchmarks.peers.running import ROOT

FOLDER = ROOT / ".venv-peers"
_INSTALLS_WITHIN_SECONDS = 1200


def python_of(peer: Peer) -> Path:
    """What runs it, whether or not it is there."""
    if peer.environment is None:
        return Path(sys.executable)
    return FOLDER / peer.environment / "bin" / "python"


def is_made(peer: Peer) -> bool:
    """Whether its environment was made from the requirements as they are now."""
    if peer.environment is None:
        return True
    made_from = FOLDER / peer.environment / peer.requirements.name
    return made_from.exists() and made_from.read_bytes() == peer.requirements.read_bytes()


def install(peers: Iterable[Peer]) -> dict[str, str]:
    """Make what is missing; by name of the environment, why it could not be made."""
    failed: dict[str, str] = {}
    for peer in peers:
        if is_made(peer) or peer.environment is None or peer.environment in failed:
            continue
        print(f"{peer.environment}: installing", flush=True)
        folder = FOLDER / peer.environment
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [folder / "bin" / "pip", "install", "--quiet", "-r", peer.requirements],
        ):
            said = _run([str(part) for part in command])
            if said is not None:
                failed[peer.environment] = said
                break
        else:
            (folder / peer.requirements.name).write_bytes(peer.requirements.read_bytes())
    return failed


def _run(command: list[str]) -> str | None:
    """What a command that failed said last."""
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_INSTALLS_WITHIN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip().split("\n")[-1][-300:]
    return said if done.returncode else None
