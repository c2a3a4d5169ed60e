from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.access.__main__ import app
from service.access.key_file import hash_of, read_key_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def secret_of(result: Result) -> str:
    assert result.exit_code == 0, result.output
    (line,) = result.output.splitlines()
    return line


def hashes(path: Path, name: str) -> list[str]:
    (found,) = [key for key in read_key_file(path).keys if key.name == name]
    return list(found.sha256)


def test_secret_of_a_new_key_is_printed_and_its_hash_is_kept(path: Path) -> None:
    asked = ("--scope", "predict", "--scope", "publish", "--tenant", "acme")
    limits = ("--rows-per-second", 50, "--burst-seconds", 2, "--expires", "2027-01-01")
    secret = secret_of(run("add", path, "app", *asked, *limits, "--most-tasks", 7))
    assert hashes(path, "app") == [hash_of(secret)]
    (key,) = read_key_file(path).keys
    assert sorted(key.scopes) == ["predict", "publish"]
    assert key.tenant == "acme"
    assert (key.rows_per_second, key.requests_per_second, key.burst_seconds) == (50, None, 2)
    assert key.most_tasks == 7
    assert str(key.expires) == "2027-01-01 00:00:00+00:00"
    assert secret not in path.read_text()


def test_a_file_in_toml_is_shown_and_not_written(path: Path) -> None:
    by_hand = path.with_suffix(".toml")
    by_hand.write_text(f"[[keys]]\nname='a'\nsha256=['{hash_of('b')}']\nscopes=['admin']\n")
    assert run("list", by_hand).stdout == "a\t-\tadmin\t1\n"
    refused = run("rotate", by_hand, "a")
    assert refused.exit_code == 2
    assert "impress_" not in refused.output
    assert hashes(by_hand, "a") == [hash_of("b")]


def test_rotation_keeps_both_until_the_old_one_is_retired(path: Path) -> None:
    secret_of(run("add", path, "other", "--scope", "admin"))
    old = secret_of(run("add", path, "app", "--scope", "predict"))
    new = secret_of(run("rotate", path, "app"))
    assert hashes(path, "app") == [hash_of(old), hash_of(new)]
    assert run("retire", path, "app").exit_code == 0
    assert hashes(path, "app") == [hash_of(new)]
    assert len(hashes(path, "other")) == 1
    listed = run("list", path).output
    assert "app\t-\tpredict\t1" in listed
    assert new not in listed
    assert run("remove", path, "app").exit_code == 0
    assert [key.name for key in read_key_file(path).keys] == ["other"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "app", "--scope", "predict"), "each key's name once"),
        (("add", "b", "--scope", "admin", "--tenant", "acme"), "no tenant"),
        (("add", "a b", "--scope", "predict"), "name"),
        (("add", "b", "--scope", "all"), "'publish'"),
        (("add", "b"), "scope"),
        (("rotate", "b"), "no key 'b'"),
        (("retire", "b"), "no key 'b'"),
        (("remove", "b"), "no key 'b'"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_file(
    path: Path, arguments: tuple[str, ...], said: str
) -> None:
    run("add", path, "app", "--scope", "predict")
    before = path.read_bytes()
    command, *rest = arguments
    result = run(command, path, *rest)
    assert result.exit_code == 2
    assert said in result.output
    assert path.read_bytes() == before
