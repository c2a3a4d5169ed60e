"""Where the deployment's files are, and the programs that judge them."""

import os
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from service.watching.telemetry import Telemetry
from tests.real_parts import program_of_prometheus

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return _ROOT


@pytest.fixture(scope="session")
def environment_programs() -> str:
    """A PATH on which the programs of this environment come first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@pytest.fixture(scope="session")
def promtool() -> Path:
    return program_of_prometheus("promtool")


@pytest.fixture(scope="session")
def exported() -> dict[str, set[str]]:
    """Labels of each series that the service exports or Prometheus adds."""
    telemetry = Telemetry(CollectorRegistry())
    telemetry.describe_build("cpu")
    labels: dict[str, set[str]] = {}
    suffixes: dict[str, dict[str, set[str]]] = {
        "counter": {"_total": set()},
        "gauge": {"": set()},
        "histogram": {"_bucket": {"le"}, "_sum": set(), "_count": set()},
    }
    named = {
        metric._name: set(metric._labelnames)
        for metric in vars(telemetry).values()
        if isinstance(metric, MetricWrapperBase)
    }
    for family in telemetry.registry.collect():
        own = named.get(family.name) or {key for one in family.samples for key in one.labels}
        for suffix, more in suffixes[family.type].items():
            labels[family.name + suffix] = own | more
    for family in ProcessCollector(registry=CollectorRegistry()).collect():
        labels[family.name + ("_total" if family.type == "counter" else "")] = set()
    # Of Prometheus itself, about a scrape.
    labels["up"] = set()
    return labels


@pytest.fixture(scope="session")
def recorded() -> dict[str, str]:
    """The expression of each series that Prometheus records by our rules."""
    groups = yaml.safe_load((_ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
