"""The command line, run in this process."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from client.__main__ import app

Impress = Callable[..., Result]


@pytest.fixture
def impress(service_url: str) -> Impress:
    """Runs `impress` with arguments, at the real service unless they say otherwise."""

    def run(*arguments: object, **variables: str) -> Result:
        environment = {"IMPRESS_URL": service_url, "TERM": "dumb", "NO_COLOR": "1"} | variables
        return CliRunner().invoke(app, [str(one) for one in arguments], env=environment)

    return run


def document(result: Result) -> Any:
    """What `--json` printed, where the command ended well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
