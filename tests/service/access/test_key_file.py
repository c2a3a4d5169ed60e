import json
from pathlib import Path
from typing import Any

import pytest

from service.access.key_file import (
    KeyFile,
    hash_of,
    new_secret,
    read_key_file,
    write_key_file,
)
from tests.service.access.key_files import scoped, written


def with_keys(path: Path, *keys: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": list(keys)}))
    return path


def good(**changed: Any) -> dict[str, Any]:
    return {"name": "app", "sha256": [hash_of("a")], "scopes": ["predict"]} | changed


def test_what_is_written_is_read_again_and_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secrets = written(path, app=scoped("predict", "publish", tenant="acme", rows_per_second=5))
    keys = read_key_file(path)
    write_key_file(path, keys)
    assert read_key_file(path) == keys
    assert secrets["app"].removeprefix("Bearer ") not in path.read_text()


def test_the_same_keys_in_toml_are_the_same(tmp_path: Path) -> None:
    in_json = with_keys(
        tmp_path / "keys.json",
        good(tenant="acme", rows_per_second=5.5, most_tasks=3, expires="2027-01-01T00:00:00Z"),
        good(name="other", sha256=[hash_of("b")], scopes=["predict", "publish"]),
    )
    in_toml = tmp_path / "keys.toml"
    in_toml.write_text(f"""
        [[keys]]  # what the application asks with
        name = "app"
        sha256 = ["{hash_of("a")}"]
        scopes = ["predict"]
        tenant = "acme"
        rows_per_second = 5.5
        most_tasks = 3
        expires = 2027-01-01T00:00:00Z

        [[keys]]
        name = "other"
        sha256 = ["{hash_of("b")}"]
        scopes = ["predict", "publish"]
    """)
    assert read_key_file(in_toml) == read_key_file(in_json)
    before = in_toml.read_text()
    with pytest.raises(ValueError, match="written by hand"):
        write_key_file(in_toml, read_key_file(in_toml))
    assert in_toml.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "[[keys]\nname = impress_the-secret",
        "impress_the-secret = {}",
        "keys = 'impress_the-secret'",
    ],
)
def test_wrong_toml_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"keys\.toml") as refused:
        read_key_file(path)
    assert "the-secret" not in str(refused.value)


def test_new_file_is_its_owners_alone_and_an_old_one_stays_as_open_as_it_was(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys.json"
    write_key_file(path, KeyFile(keys=()))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write_key_file(path, KeyFile(keys=()))
    assert path.stat().st_mode & 0o777 == 0o640


def test_secrets_differ_and_are_long() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": ""},
        {"sha256": []},
        {"sha256": ["impress_this-is-the-secret-itself"]},
        {"sha256": ["A" * 64]},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"tenant": "a~b"},
        {"tenant": "acme", "scopes": ["admin"]},
        {"rows_per_second": 0},
        {"requests_per_second": -1},
        {"burst_seconds": 0},
        {"expires": "2027-01-01T00:00:00"},
        {"no_such_word": 1},
    ],
)
def test_wrong_key_is_refused_and_its_values_are_not_repeated(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    path = with_keys(tmp_path / "keys.json", good(**wrong))
    with pytest.raises(ValueError, match="keys_file") as raised:
        read_key_file(path)
    assert str(path) in str(raised.value)
    assert "secret-itself" not in str(raised.value)


@pytest.mark.parametrize("second", [good(sha256=[hash_of("b")]), good(name="other")])
def test_names_and_hashes_are_there_once(tmp_path: Path, second: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="once"):
        read_key_file(with_keys(tmp_path / "keys.json", good(), second))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 3}', "\x00"])
def test_what_is_no_file_of_keys_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="keys_file"):
        read_key_file(path)
