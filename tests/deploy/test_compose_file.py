import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

Compose = dict[str, Any]

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def in_bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([kmg])b?", size, re.IGNORECASE).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit.lower()]


@pytest.fixture(scope="module")
def compose(root: Path) -> Compose:
    document: Compose = yaml.safe_load((root / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def services(compose: Compose) -> dict[str, Compose]:
    found: dict[str, Compose] = compose["services"]
    return found


@pytest.fixture
def resolved(root: Path, environment_programs: str, tmp_path: Path) -> Compose:
    """The file as podman-compose understands it; of podman it only asks for the version."""
    program = shutil.which("podman-compose", path=environment_programs)
    assert program is not None, "podman-compose comes with the test extra"
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.4.2\n")
    podman.chmod(0o755)
    result = subprocess.run(
        [program, "--podman-path", podman, "-f", root / "docker-compose.yml", "config"],
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "UID": "4321",
            "GID": "8765",
            "PORT": "8123",
            "STORE": "./elsewhere",
            "TORCH_SOURCE": "",
        },
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    document: Compose = yaml.safe_load(result.stdout)
    return document


def test_podman_compose_reads_the_file(resolved: Compose) -> None:
    assert set(resolved["services"]) == {"service", "redis", "prometheus", "grafana"}


def test_variables_of_the_shell_arrive(resolved: Compose) -> None:
    service = resolved["services"]["service"]
    assert service["user"] == "4321:8765"
    assert service["ports"] == ["127.0.0.1:8123:8000"]
    assert service["volumes"][0]["source"] == "./elsewhere"
    assert "TORCH_SOURCE=" in service["build"]["args"]


def test_every_port_is_published_on_loopback_only(services: dict[str, Compose]) -> None:
    published = {name: service.get("ports", []) for name, service in services.items()}
    assert published.pop("redis") == []
    for name, ports in published.items():
        assert ports, name
        assert all(port.startswith("127.0.0.1:") for port in ports), name
    assert not any("network_mode" in service for service in services.values())


def test_images_that_are_not_built_here_have_exact_versions(services: dict[str, Compose]) -> None:
    for name, service in services.items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+(-[a-z]+)?$", service["image"]), name


def test_every_container_has_a_memory_cap_and_comes_back(services: dict[str, Compose]) -> None:
    for name, service in services.items():
        assert in_bytes(service["mem_limit"]) > 0, name
        assert service["restart"] == "unless-stopped", name


def test_every_container_is_stripped_of_privileges(services: dict[str, Compose]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


def test_every_container_has_a_health_check(root: Path, services: dict[str, Compose]) -> None:
    assert "HEALTHCHECK" in (root / "Dockerfile").read_text()
    for name, service in services.items():
        assert "build" in service or service["healthcheck"]["test"][0] == "CMD", name


def test_service_waits_for_redis_and_starts_without_it(services: dict[str, Compose]) -> None:
    assert services["service"]["depends_on"]["redis"] == {
        "condition": "service_healthy",
        "required": False,
    }


def test_redis_is_a_bounded_cache_that_keeps_nothing(services: dict[str, Compose]) -> None:
    redis = services["redis"]
    words = redis["command"][1:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options == {
        "--protected-mode": "no",
        "--maxmemory": options["--maxmemory"],
        "--maxmemory-policy": "allkeys-lru",
        "--save": "",
        "--appendonly": "no",
    }
    assert in_bytes(options["--maxmemory"]) < in_bytes(redis["mem_limit"])
    assert "volumes" not in redis


def test_store_is_a_folder_of_the_host_that_the_caller_owns(services: dict[str, Compose]) -> None:
    service = services["service"]
    assert service["user"] == "${UID:-1000}:${GID:-1000}"
    (store,) = service["volumes"]
    assert store["target"] == "/store"
    assert not store.get("read_only", False)
    assert store["bind"] == {"create_host_path": False}


def test_service_is_told_only_settings_that_exist(services: dict[str, Compose]) -> None:
    environment = services["service"]["environment"]
    assert set(environment) <= {name.upper() for name in Settings.model_fields}
    assert environment["ALLOW_UNAUTHENTICATED"] == "true"
    assert environment["REDIS_URL"].startswith("redis://redis:")


def test_service_has_longer_to_stop_than_its_requests_have_to_finish(
    services: dict[str, Compose],
) -> None:
    grace = int(services["service"]["stop_grace_period"].removesuffix("s"))
    fields = Settings.model_fields
    assert grace > fields["drain_seconds"].default + fields["shutdown_seconds"].default


def test_image_is_built_with_what_the_dockerfile_takes(
    root: Path, services: dict[str, Compose]
) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    for name, value in services["service"]["build"]["args"].items():
        default = re.fullmatch(rf"\$\{{{name}:?-(.*)\}}", value)
        declared = re.search(rf'^ARG {name}="?([^"\n]*)"?$', dockerfile, re.MULTILINE)
        assert default is not None, name
        assert declared is not None, name
        assert default[1] == declared[1]


def test_every_mounted_file_exists(root: Path, services: dict[str, Compose]) -> None:
    mounted = [
        volume.split(":")
        for service in services.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str) and volume.startswith("./")
    ]
    assert len(mounted) == 4
    for source, _, mode in mounted:
        assert (root / source).exists(), source
        assert mode == "ro"


def grafana_password(services: dict[str, Compose], given: str) -> str:
    shell, flags, script = services["grafana"]["entrypoint"]
    assert script.rstrip().endswith("exec /run.sh")
    script = script.replace("$$", "$").replace("/run.sh", "printenv GF_SECURITY_ADMIN_PASSWORD")
    environment = {"PATH": os.environ["PATH"], "GF_SECURITY_ADMIN_PASSWORD": given}
    return subprocess.run(
        [shell, flags, script], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_grafana_without_a_password_gets_one_that_nobody_knows(
    services: dict[str, Compose],
) -> None:
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == (
        "${GRAFANA_ADMIN_PASSWORD:-}"
    )
    first, second = (grafana_password(services, "") for _ in range(2))
    assert len(first) == len(second) == 32
    assert first != second


def test_grafana_takes_the_password_that_it_is_given(services: dict[str, Compose]) -> None:
    assert grafana_password(services, "a word of my own") == "a word of my own"


def test_grafana_shows_but_does_not_let_change_without_login(services: dict[str, Compose]) -> None:
    environment = services["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
