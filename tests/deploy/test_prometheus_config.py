import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = "deploy/prometheus/prometheus.yml"


@pytest.fixture(scope="module")
def job(root: Path) -> dict[str, Any]:
    (job,) = yaml.safe_load((root / CONFIG).read_text())["scrape_configs"]
    assert isinstance(job, dict)
    return job


def test_promtool_accepts_the_configuration(root: Path, promtool: Path) -> None:
    result = subprocess.run(
        [promtool, "check", "config", "--lint-fatal", root / CONFIG], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_scraped_is_the_service_of_the_compose_file(root: Path, job: dict[str, Any]) -> None:
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    ((target,),) = [config["targets"] for config in job["static_configs"]]
    name, port = target.split(":")
    assert any(published.endswith(f":{port}") for published in services[name]["ports"])


def test_prometheus_reads_this_file_and_keeps_exemplars(root: Path) -> None:
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    prometheus = services["prometheus"]
    (mounted,) = [volume for volume in prometheus["volumes"] if CONFIG in volume]
    assert f"--config.file={mounted.split(':')[1]}" in prometheus["command"]
    assert "--enable-feature=exemplar-storage" in prometheus["command"]
