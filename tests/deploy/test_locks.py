"""What may be installed is locked by hash, and everything that installs goes by the locks."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = {
    "image": ["client", "service", "objects"],
    "runtime": ["client", "service", "training"],
    "test": ["client", "service", "grpc", "training", "tracing", "objects", "test"],
}
each_lock = pytest.mark.parametrize("lock", [*LOCKS, "tools"])
HASHES = r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+"


def locked(root: Path, lock: str) -> dict[str, Requirement]:
    """What a lock holds; that it holds nothing else, and nothing without a hash, is asserted."""
    text = re.sub(r"^#.*\n", "", (root / "locks" / f"{lock}.txt").read_text(), flags=re.MULTILINE)
    entries = re.findall(rf"^([^\s#-].*?){HASHES}\n", text, re.MULTILINE)
    assert re.sub(rf"^[^\s#-].*?{HASHES}\n", "", text, flags=re.MULTILINE) == ""
    found = [Requirement(entry) for entry in entries]
    return {canonicalize_name(one.name): one for one in found}


@each_lock
def test_a_lock_is_one_version_of_each_package_with_its_hashes(root: Path, lock: str) -> None:
    packages = locked(root, lock)
    assert packages
    for package in packages.values():
        (specifier,) = package.specifier
        assert specifier.operator == "=="
        assert package.url is None


@each_lock
def test_a_lock_names_no_place_to_fetch_from(root: Path, lock: str) -> None:
    text = (root / "locks" / f"{lock}.txt").read_text()
    assert re.search(r"://|--\w*-url|--find-links", text) is None


@each_lock
def test_nothing_of_another_build_of_torch_is_locked(root: Path, lock: str) -> None:
    others = re.compile(r"torch|triton$|nvidia-|cuda-")
    assert [name for name in locked(root, lock) if others.match(name)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_the_project_asks_for_is_locked_as_it_asks(root: Path, lock: str) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for extra in LOCKS[lock]:
        wanted += project["project"]["optional-dependencies"][extra]
    # What builds it is there too: it is built without fetching a builder.
    wanted += project["build-system"]["requires"]
    packages = locked(root, lock)
    for one in map(Requirement, wanted):
        if one.name != "torch":
            (specifier,) = packages[canonicalize_name(one.name)].specifier
            assert one.specifier.contains(specifier.version), one.name


@pytest.mark.parametrize("lock", ["image", "runtime"])
def test_what_is_served_with_is_what_was_tested(root: Path, lock: str) -> None:
    tested = locked(root, "test")
    assert {
        name: str(one.specifier) for name, one in locked(root, lock).items() if name in tested
    } == {name: str(tested[name].specifier) for name in locked(root, lock)}


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_only_torch_is_installed_without_a_hash(root: Path, file: str) -> None:
    text = re.sub(r"\\\n\s*", "", (root / file).read_text())
    installs = re.findall(r"^(?!\s*#).*?(?:/pip|bin/python) install (.*)", text, re.MULTILINE)
    assert len(installs) >= 3
    for install in installs:
        hashed = "--require-hashes --only-binary :all: --no-deps -r" in install
        ours = "--no-deps --no-build-isolation" in install
        torch = re.match(r"(--quiet )?\$[({]TORCH_SOURCE[)}] ['\"]\$[({]TORCH[)}]['\"]", install)
        assert hashed or ours or torch, install
