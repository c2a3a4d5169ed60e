import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.promql import SCRAPE_LABELS, filled_in, label_names, metric_names

Panel = dict[str, Any]

NAMES = ("service", "tasks")


@pytest.fixture(scope="module", params=NAMES)
def dashboard(root: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(root, request.param)


def read(root: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (root / f"deploy/grafana/dashboards/{name}.json").read_text()
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
            found.append((panel["title"], filled_in(target["expr"])))
    return found


def test_names_are_found_in_a_query() -> None:
    query = (
        "histogram_quantile(0.5, sum by (le, route) "
        '(rate(a_bucket{route=~"x{}|y"}[1m]))) / on (z) b_total or vector(0)'
    )
    assert metric_names(query) == {"a_bucket", "b_total"}
    assert label_names(query) == {"le", "route"}


def differences(given: Any, kept: Any, place: str = "") -> Iterator[str]:
    """Places in `given` that `kept` has not, or otherwise."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from differences(value, kept.get(key), f"{place}/{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for value, other in zip(given, kept, strict=True):
            yield from differences(value, other, place)
    elif given != kept:
        yield place


def test_grafanas_own_types_know_every_field(dashboard: dict[str, Any]) -> None:
    register_default_plugins()
    kept = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    # Grafana writes the first itself, and the others are younger than these types.
    assert set(differences(dashboard, kept)) <= {
        "/templating/list/definition",
        "/panels/options/tooltip/mode",
        "/panels/options/tooltip/showColorScale",
    }


def test_dashboards_lead_to_each_other(root: Path) -> None:
    uids = {name: read(root, name)["uid"] for name in NAMES}
    for name, other in (NAMES, NAMES[::-1]):
        (link,) = read(root, name)["links"]
        assert link["url"] == f"/d/{uids[other]}"


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
    queries: list[tuple[str, str]],
    exported: dict[str, set[str]],
    recorded: dict[str, str],
) -> None:
    for title, query in queries:
        names = metric_names(query)
        assert names, title
        assert names <= exported.keys() | recorded.keys(), title


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


def test_every_metric_of_the_service_has_a_panel(root: Path, exported: dict[str, set[str]]) -> None:
    panels = [panel for name in NAMES for panel in read(root, name)["panels"]]
    queries = [one["expr"] for panel in panels for one in panel.get("targets", ())]
    asked = {name for query in queries for name in metric_names(filled_in(query))}
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
    route = {"route"} if dashboard["uid"] == "impress-service" else set()
    assert {variable["name"] for variable in queried} == {"instance"} | route
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
    for name in NAMES:
        assert (places[provider["options"]["path"]] / f"{name}.json").exists()
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/service.json"
    (source,) = yaml.safe_load(
        (places["/etc/grafana/provisioning"] / "datasources/prometheus.yml").read_text()
    )["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in compose
