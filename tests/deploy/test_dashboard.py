import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from service.telemetry import Telemetry

Panel = dict[str, Any]

# Of Prometheus itself, about a scrape.
SCRAPE = {"up"}
SCRAPE_LABELS = {"job", "instance"}
WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "or", "and", "unless"}
# What Prometheus is given for what Grafana fills in.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$route": ".*"}


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (root / "deploy/grafana/dashboards/service.json").read_text()
    )
    return document


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[Panel]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def queries(panels: list[Panel]) -> list[tuple[str, str]]:
    """Panel title and PromQL, variables filled in."""
    found = []
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            found.append((panel["title"], expression))
    return found


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Labels of each series that the service exports."""
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
    return labels


def without_strings(expression: str) -> str:
    return re.sub(r'"(\\.|[^"\\])*"', '""', expression)


def metric_names(expression: str) -> set[str]:
    bare = without_strings(expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare)) - WORDS


def label_names(expression: str) -> set[str]:
    bare = without_strings(expression)
    matched = [re.findall(r"(\w+)\s*[=!]", part) for part in re.findall(r"\{([^}]*)\}", bare)]
    grouped = [re.findall(r"\w+", part) for part in re.findall(r"\bby\s*\(([^)]*)\)", bare)]
    return {name for names in matched + grouped for name in names}


def test_names_are_found_in_a_query() -> None:
    query = (
        "histogram_quantile(0.5, sum by (le, route) "
        '(rate(a_bucket{route=~"x{}|y"}[1m]))) / on (z) b_total or vector(0)'
    )
    assert metric_names(query) == {"a_bucket", "b_total"}
    assert label_names(query) == {"le", "route"}


def test_every_query_is_promql(
    queries: list[tuple[str, str]], promtool: Path, tmp_path: Path
) -> None:
    rules = [{"record": f"panel:{n}", "expr": query} for n, (_, query) in enumerate(queries)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    result = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(queries)} rules found" in result.stdout


def test_no_variable_is_left_without_a_value(queries: list[tuple[str, str]]) -> None:
    assert [query for _, query in queries if "$" in query] == []


def test_panels_ask_only_for_what_the_service_exports(
    queries: list[tuple[str, str]], exported: dict[str, set[str]]
) -> None:
    for title, query in queries:
        names = metric_names(query)
        assert names, title
        assert names <= exported.keys() | SCRAPE, title


def test_panels_group_and_filter_by_labels_that_exist(
    queries: list[tuple[str, str]], exported: dict[str, set[str]]
) -> None:
    for title, query in queries:
        known = [exported.get(name, set()) for name in metric_names(query)]
        assert label_names(query) <= SCRAPE_LABELS.union(*known), title


def test_legends_name_labels_that_the_query_keeps(
    panels: list[Panel], exported: dict[str, set[str]]
) -> None:
    for panel in panels:
        for target in panel["targets"]:
            grouped = re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])
            kept = {name for part in grouped for name in re.findall(r"\w+", part)}
            if "sum" not in target["expr"]:
                known = [exported.get(name, set()) for name in metric_names(target["expr"])]
                kept = SCRAPE_LABELS.union(*known)
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= kept, panel["title"]


def test_every_metric_of_the_service_has_a_panel(
    queries: list[tuple[str, str]], exported: dict[str, set[str]]
) -> None:
    asked = {name for _, query in queries for name in metric_names(query)}
    own = {name for name in exported if name.startswith("impress_")}
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in own}
    assert families == {
        re.sub("_(bucket|sum|count)$", "", name) for name in asked if name.startswith("impress_")
    }


def test_variables_are_filled_from_metrics_that_exist(
    dashboard: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    queried = [
        variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"
    ]
    assert {variable["name"] for variable in queried} == {"instance", "route"}
    for variable in queried:
        match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert match is not None
        assert match[2] in exported[match[1]] | SCRAPE_LABELS


def test_every_panel_says_what_it_shows_and_in_which_unit(panels: list[Panel]) -> None:
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]) or panel["type"] == "stat"
    titles = [panel["title"] for panel in panels]
    assert len(titles) == len(set(titles))


def test_panels_fill_the_grid_without_overlap(dashboard: dict[str, Any]) -> None:
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells = [panel["gridPos"] for panel in everything]
    assert all(cell["x"] + cell["w"] <= 24 for cell in cells)
    for one, other in combinations(cells, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart, (one, other)
    area = sum(cell["w"] * cell["h"] for cell in cells)
    assert area == 24 * max(cell["y"] + cell["h"] for cell in cells)


def test_panels_take_their_data_source_from_the_variable(
    root: Path, dashboard: dict[str, Any], panels: list[Panel]
) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["datasource"] == chosen, panel["title"]
        assert all(target["datasource"] == chosen for target in panel["targets"]), panel["title"]
    (variable,) = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
    assert variable["name"] == "datasource"
    provisioned = yaml.safe_load(
        (root / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    (source,) = provisioned["datasources"]
    assert (source["uid"], source["type"]) == (variable["current"]["value"], variable["query"])


def test_grafana_finds_what_compose_mounts(root: Path) -> None:
    compose = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    grafana = compose["grafana"]
    places = {v.split(":")[1]: root / v.split(":")[0] for v in grafana["volumes"]}
    (provider,) = yaml.safe_load(
        (root / "deploy/grafana/provisioning/dashboards/impress.yml").read_text()
    )["providers"]
    assert (places[provider["options"]["path"]] / "service.json").exists()
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/service.json"
    (source,) = yaml.safe_load(
        (places["/etc/grafana/provisioning"] / "datasources/prometheus.yml").read_text()
    )["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in compose
