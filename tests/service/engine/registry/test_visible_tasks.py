"""Which tasks a tenant sees, on live tasks without a store."""

import pytest

from model_store.errors import UnknownTask
from model_store.network import FrozenNetwork
from service.engine.registry.live_tasks import LiveTasks
from service.engine.registry.visible_tasks import VisibleTasks
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact, registered


@pytest.fixture
def live(telemetry: Telemetry) -> LiveTasks:
    return LiveTasks(telemetry, lambda _: None, lambda _: None)


def take(live: LiveTasks, network: FrozenNetwork, make_artifact: MakeArtifact, *names: str) -> None:
    artifact = make_artifact(1)
    live.take([(name, registered(network, name, artifact)) for name in names])


def test_lists_are_the_same_object_until_a_task_changes(
    live: LiveTasks, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    take(live, network, make_artifact, "a", "b", "acme~c")
    visible = VisibleTasks(live)
    for tenant in (None, "acme", "zeta"):
        assert visible.snapshot(tenant) is visible.snapshot(tenant)
    # Who has no tasks of its own has everybody's list, not a copy.
    assert visible.snapshot("zeta") is visible.snapshot(None)
    before = visible.snapshot("acme")
    take(live, network, make_artifact, "acme~d")
    assert [task.name for task in before] == ["a", "b", "c"]
    assert [task.name for task in visible.snapshot("acme")] == ["a", "b", "c", "d"]


def test_without_tenants_the_list_is_that_of_all_tasks(
    live: LiveTasks, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    take(live, network, make_artifact, "b", "a")
    assert VisibleTasks(live).snapshot(None) is live.snapshot()


def test_tenants_whose_names_begin_alike_are_apart_however_many_there_are(
    live: LiveTasks, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    tenants = ["a", "a-", "a.b", "aa", *(f"t{index}" for index in range(40))]
    take(live, network, make_artifact, "shared", *(f"{tenant}~x-{tenant}" for tenant in tenants))
    visible = VisibleTasks(live)
    for _ in range(2):
        for tenant in tenants:
            names = [task.name for task in visible.snapshot(tenant)]
            assert names == sorted(["shared", f"x-{tenant}"])


def test_a_name_with_the_mark_reaches_nothing(
    live: LiveTasks, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    take(live, network, make_artifact, "shared", "acme~private")
    visible = VisibleTasks(live)
    assert visible.get("private", "acme").task_id == "acme~private"
    for tenant in (None, "acme", "zeta"):
        assert visible.get("shared", tenant).task_id == "shared"
        for name in ("acme~private", "~shared", "private~"):
            with pytest.raises(UnknownTask):
                visible.get(name, tenant)


def test_tasks_asked_for_by_their_names_are_those_that_the_tenant_sees(
    live: LiveTasks, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    take(live, network, make_artifact, "a", "b", "acme~b", "acme~c", "zeta~d")
    visible = VisibleTasks(live)
    names = ["d", "c", "b", "a", "b", "acme~c", "nobody"]
    assert [task.task_id for task in visible.only(names, "acme")] == ["a", "acme~b", "acme~c"]
    assert [task.task_id for task in visible.only(names, None)] == ["a", "b"]
