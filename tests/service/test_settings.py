import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from model_store.store import Store
from service.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert Settings(host=host).host == host


@pytest.mark.parametrize(
    "url", ["redis://x:secret@localhost/0", "redis://localhost/0?password=secret"]
)
def test_settings_that_are_shown_hide_the_password(url: str) -> None:
    settings = Settings.model_validate({"redis_url": url})
    assert "secret" in str(settings.redis_url)
    assert "secret" not in repr(settings) + str(settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_addresses_are_refused_unless_allowed_in_so_many_words(host: str) -> None:
    with pytest.raises(ValidationError, match="ALLOW_UNAUTHENTICATED"):
        Settings(host=host)
    assert Settings(host=host, allow_unauthenticated=True).host == host
    assert Settings(host=host, keys_file=Path("keys.json")).host == host


def test_pinned_tasks_are_names_with_commas_between() -> None:
    assert Settings(pinned_tasks=" a, b,,a ").pinned_names == ("a", "b")
    assert Settings().pinned_names == ()


def test_environment_variables_are_settings_and_empty_ones_are_unset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "9123")
    monkeypatch.setenv("REDIS_URL", "")
    settings = Settings()
    assert settings.port == 9123
    assert settings.redis_url is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": "many"},
        {"grpc_port": 0},
        {"port": 9000, "grpc_port": 9000},
        {"management_port": 8000},
        {"grpc_port": 9000, "management_port": 9000},
        {"keys_file": "keys.json", "allow_unauthenticated": True},
        {"device": "tpu"},
        {"cache_bytes": -1},
        {"redis_url": "http://127.0.0.1"},
        {"forward_path": "fastest"},
        {"pinned_tasks": "task-0,.."},
        {"redis_read": "sometimes"},
        {"redis_precision": "fp8"},
        {"redis_max_bytes": -1},
        {"redis_warm_seconds": -1},
        {"max_request_rows": 10_000},
        {"max_request_rows": 4096},
        {"max_inference_queue_rows": 1000},
        {"inference_share": 0},
        {"inference_methods": "auto,best"},
        {"inference_methods": "one-shot"},
        {"max_exhaustive_rows": -1},
        {"inference_margin_nats": -1},
        {"max_batch_delay_ms": -1},
        {"max_inline_ms": 100},
        {"request_timeout_ms": 0},
        {"reconcile_seconds": 0},
        {"stale_seconds": -1},
        {"no_such_setting": 1},
    ],
)
def test_bad_value_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "port"),
        (["--no-such-flag", "1"], "no-such-flag"),
        (["--host", "0.0.0.0"], "ALLOW_UNAUTHENTICATED"),
        (["--store", "/nonexistent"], "no store at /nonexistent"),
        (["--device", "cuda"], "CUDA"),
        (["--pinned-tasks", "a,b", "--cache-bytes", "1000"], "pinned_tasks"),
    ],
)
def test_service_that_cannot_start_says_why_and_exits_2(
    arguments: list[str], said: str, store: Store
) -> None:
    flags = arguments if "--store" in arguments else ["--store", str(store.files), *arguments]
    ended = subprocess.run(
        [sys.executable, "-m", "service", *flags], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_damaged_store_stops_the_start_with_the_file_named(store: Store, tmp_path: Path) -> None:
    manifest = tmp_path / "store" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed": 11', b'"seed": 13'))
    ended = subprocess.run(
        [sys.executable, "-m", "service", "--store", str(store.files)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "manifest.json" in ended.stderr
    assert "fingerprint" in ended.stderr
