from pathlib import Path

import pytest

from service.settings import Settings
from service.settings_table import settings_table, with_table

PAGE = Path(__file__).parents[2] / "docs/operators.md"


def row(name: str) -> list[str]:
    (found,) = [line for line in settings_table().splitlines() if line.startswith(f"| `{name}` ")]
    return [cell.strip() for cell in found.strip("|").split(" | ")]


def test_operators_page_says_of_settings_what_the_code_says() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, "make format writes the table again"


def test_every_setting_has_a_row_with_its_meaning() -> None:
    for name in Settings.model_fields:
        assert row(name.upper())[3].endswith("."), name


def test_bounds_choices_and_defaults_are_shown() -> None:
    assert row("PORT")[1:3] == ["`8000`", "whole number, >= 1, <= 65535"]
    assert row("LOG_FORMAT")[1:3] == ["`auto`", "`auto`, `json`, `console`"]
    assert row("REQUEST_TIMEOUT_MS")[1:3] == ["none", "number, > 0, <= 3600000"]
    assert row("ACCESS_LOG")[1:3] == ["`false`", "`true`, `false`"]
    assert row("STORE")[1:3] == ["`store`", "path"]


def test_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the marks"):
        with_table("# For operators\n")
