from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.errors import InvalidTaskName
from model_store.task_names import (
    LONGEST_STORED_NAME,
    checked_stored_name,
    checked_task_name,
    name_for_clients,
    stored_name,
)


@pytest.mark.parametrize("name", ["a", "7", "task-1", "A.b_c-d", "x" * 128, "a..b", "Auto"])
def test_task_name_within_the_alphabet_is_accepted(name: str) -> None:
    assert checked_task_name(name) == name


BAD_NAMES = [
    "",
    "auto",
    ".",
    "..",
    ".hidden",
    ".tmp-1",
    "-x",
    "_x",
    "x" * 129,
    "../escape",
    "a/b",
    "/etc",
    "a\\b",
    "a b",
    "a\n",
    "\na",
    "a\x00",
    "tâche",
    "\u0661",
    "\uff41",
    "a%2fb",
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_task_name_outside_the_alphabet_is_refused(name: str) -> None:
    with pytest.raises(InvalidTaskName):
        checked_task_name(name)


@given(st.text(max_size=140))
def test_no_accepted_name_can_leave_its_folder(name: str) -> None:
    try:
        checked_task_name(name)
    except InvalidTaskName:
        return
    assert Path("tasks", name).parts == ("tasks", name)
    assert name not in (".", "..")


def test_stored_name_says_both_and_gives_the_clients_name_back() -> None:
    for tenant in (None, "acme", "t" * 32):
        stored = stored_name(tenant, "x" * 128)
        assert checked_stored_name(stored) == stored
        assert name_for_clients(stored) == "x" * 128
        assert len(stored) <= LONGEST_STORED_NAME
    assert stored_name(None, "ants") == "ants"


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("name", [*BAD_NAMES, "acme~ants", "~ants", "ants~"], ids=ascii)
def test_no_clients_name_reaches_into_another_space(tenant: str | None, name: str) -> None:
    with pytest.raises(InvalidTaskName):
        stored_name(tenant, name)


@pytest.mark.parametrize(
    "name", ["~ants", "acme~", "acme~auto", "a~b~ants", "t" * 33 + "~ants", "../x~ants"]
)
def test_stored_name_of_no_tenant_is_refused(name: str) -> None:
    with pytest.raises(InvalidTaskName):
        checked_stored_name(name)
