"""The served OpenAPI against the served routes of a real process: every check of schemathesis."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.store import Store
from tests.real_parts import running_service
from tests.service.artifacts import MakeArtifact

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "40"))
"""Of each operation, at most, beside those of its schema's edges and of sequences of requests."""


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * EXAMPLES)
def test_routes_do_what_the_openapi_says(
    store: Store, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    folder = Path(str(store.files))
    with running_service(folder, RECONCILE_SECONDS="3600", LOG_LEVEL="error") as client:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)]
        command += ["run", f"{client.base_url}/openapi.json", "--checks", "all"]
        command += ["--max-examples", str(EXAMPLES), "--seed", "7", "--no-color"]
        ran = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2000:]
        (generated,) = re.findall(r"(\d+) generated", ran.stdout)
        assert int(generated) >= 2000
        assert client.get("/readyz").status_code == 200
        put = client.put("/v1/tasks/after", content=make_artifact(7).content)
        assert put.status_code == 201, put.text
        asked = client.post("/v1/predict", json={"task": "after", "inputs": [[0.5] * 20]})
        assert asked.status_code == 200
