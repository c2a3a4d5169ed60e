import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promql import SCRAPE_LABELS, label_names, metric_names

RULES = "deploy/prometheus/alerts.yml"
CASES = ("alerts_test.yml", "alerts_in_days_test.yml")

Rule = dict[str, Any]


@pytest.fixture(scope="module")
def rules(root: Path) -> list[Rule]:
    groups = yaml.safe_load((root / RULES).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(rules: list[Rule]) -> dict[str, Rule]:
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def test_promtool_accepts_the_rules(root: Path, promtool: Path) -> None:
    result = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", root / RULES], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("cases", CASES)
def test_alerts_fire_when_they_should_and_else_not(promtool: Path, cases: str) -> None:
    file = Path(__file__).with_name(cases)
    result = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_fires_in_a_case_and_is_silent_in_another(alerts: dict[str, Rule]) -> None:
    fired: set[str] = set()
    silent: set[str] = set()
    for cases in CASES:
        for case in yaml.safe_load(Path(__file__).with_name(cases).read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (fired if check["exp_alerts"] else silent).add(check["alertname"])
    assert fired == silent == alerts.keys()


def test_every_alert_says_what_it_means_and_where_to_read_on(
    root: Path, alerts: dict[str, Rule]
) -> None:
    for name, rule in alerts.items():
        said = rule["annotations"]
        assert said["summary"]
        assert said["description"].endswith("."), name
        assert rule["labels"]["severity"] in {"page", "ticket"}, name
        page, _, anchor = said["runbook"].partition("#")
        headings = re.findall(r"^#+ (.*)$", (root / page).read_text(), re.MULTILINE)
        assert anchor in {heading.lower() for heading in headings}, name


def test_rules_ask_only_for_what_is_exported_or_recorded(
    rules: list[Rule], exported: dict[str, set[str]], recorded: dict[str, str]
) -> None:
    for rule in rules:
        names = metric_names(rule["expr"])
        assert names, rule
        assert names <= exported.keys() | recorded.keys(), rule
        known = [exported.get(name, set()) for name in names]
        assert label_names(rule["expr"]) <= SCRAPE_LABELS.union(*known), rule


def test_every_recorded_series_is_used(rules: list[Rule], recorded: dict[str, str]) -> None:
    used = {name for rule in rules for name in metric_names(rule["expr"])}
    assert recorded.keys() <= used


def test_prometheus_reads_the_rules_that_compose_mounts(root: Path) -> None:
    config = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    compose = yaml.safe_load((root / "docker-compose.yml").read_text())
    mounted = [volume.split(":") for volume in compose["services"]["prometheus"]["volumes"]]
    places = {parts[0].rpartition("/")[2]: parts[1].rpartition("/")[0] for parts in mounted}
    assert places["alerts.yml"] == places["prometheus.yml"]
