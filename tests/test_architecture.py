"""The arrows between the packages, and the few things that no module may do."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["client", "masked_network", "model_store", "service", "training"]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

METHOD = {"torch", "numpy"}
# Optional, so that only what is imported where it is needed may need it.
TRITON, NEEDS_TRITON = "triton", ROOT / "masked_network" / "triton_kernels.py"
GRPC, NEED_GRPC = {"grpc", "google"}, ROOT / "service" / "grpc_face"
OBSTORE, NEEDS_OBSTORE = "obstore", ROOT / "model_store" / "object_folder.py"
OPTIONAL = {NEEDS_TRITON: {TRITON}, NEEDS_OBSTORE: {OBSTORE}}
CONTRACT = METHOD | {"masked_network", "safetensors", "pydantic", "typer"}
CLIENT = {"httpx2", "numpy", "PIL", "prometheus_client", "pydantic", "rich", "typer"}
ONLY_IN_SERVICE = {"fastapi", "starlette", "uvicorn", "redis", "prometheus_client"}
ONLY_IN_SERVICE |= {"structlog", "opentelemetry"}
ONLY_IN_TRAINING = {"datasets", "pyarrow", "sklearn", "matplotlib"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "core", "manager"}

each_module = pytest.mark.parametrize(
    "path", MODULES, ids=[path.relative_to(ROOT).as_posix() for path in MODULES]
)


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports_in(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the tree, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a reader sees the arrow"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_imported(path: Path) -> set[str]:
    """Packages from outside the standard library, but for the module's own."""
    names = {name.partition(".")[0] for name in imports_in(syntax(path))}
    return names - sys.stdlib_module_names - {package_of(path)}


def may_import(package: str, imported: str) -> bool:
    if package == "client":
        return imported in CLIENT
    if package == "masked_network":
        return imported in METHOD
    if package == "model_store":
        return imported in CONTRACT
    if package == "service":
        return imported not in ONLY_IN_TRAINING | {"training", "client", "tests", "benchmarks"}
    return imported not in ONLY_IN_SERVICE | {"service", "client", "tests", "benchmarks"}


def forbidden_in(tree: ast.AST) -> Iterator[str]:
    """Ways to run what a file or a stranger says: pickles, and text as code."""
    for name in imports_in(tree):
        if name.partition(".")[0] in {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}:
            yield name
        if name in {"torch.load", "numpy.load"}:
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"eval", "exec", "compile", "__import__", "torch.load", "np.load"}:
                yield called


def test_every_package_is_walked() -> None:
    assert {package_of(path) for path in MODULES} >= {"masked_network", "model_store"}
    for package in PACKAGES:
        assert (ROOT / package).is_dir()


@each_module
def test_arrows_run_forwards(path: Path) -> None:
    package = package_of(path)
    imported = packages_imported(path) - OPTIONAL.get(path, set())
    assert {name for name in imported if not may_import(package, name)} == set()


@each_module
def test_who_serves_no_grpc_needs_none(path: Path) -> None:
    assert not GRPC & packages_imported(path) or path.is_relative_to(NEED_GRPC)


@each_module
def test_nothing_that_is_read_is_run(path: Path) -> None:
    assert list(forbidden_in(syntax(path))) == []


@each_module
def test_module_is_named_for_what_it_holds(path: Path) -> None:
    assert not set(path.relative_to(ROOT).with_suffix("").parts) & FORBIDDEN_NAMES


@each_module
def test_module_says_its_role(path: Path) -> None:
    assert ast.get_docstring(syntax(path))


@pytest.mark.parametrize("package", PACKAGES)
def test_init_is_a_docstring_and_no_more(package: str) -> None:
    inits = list((ROOT / package).rglob("__init__.py"))
    assert [path for path in inits if len(syntax(path).body) != 1] == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_every_folder_of_modules_is_a_package(folder: str) -> None:
    folders = {path.parent for path in MODULES if package_of(path) == folder}
    assert {path for path in folders if not (path / "__init__.py").is_file()} == set()


@pytest.mark.parametrize(
    ("package", "imported"),
    [
        ("client", "model_store"),
        ("client", "service"),
        ("client", "torch"),
        ("masked_network", "model_store"),
        ("masked_network", "pydantic"),
        ("masked_network", "triton"),
        ("model_store", "training"),
        ("model_store", "fastapi"),
        ("model_store", "obstore"),
        ("service", "training"),
        ("service", "datasets"),
        ("training", "service"),
        ("training", "redis"),
    ],
)
def test_an_arrow_that_runs_backwards_would_be_seen(package: str, imported: str) -> None:
    assert not may_import(package, imported)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "eval('1')",
    ],
)
def test_what_would_run_a_file_would_be_seen(text: str) -> None:
    assert list(forbidden_in(ast.parse(text))) != []


def test_no_module_asks_anyone_to_unpickle() -> None:
    asking = re.compile(r"weights_only\s*=\s*False|allow_pickle\s*=\s*True")
    assert [path for path in MODULES if asking.search(path.read_text())] == []
