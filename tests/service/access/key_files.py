"""Files of keys for tests, whose secrets are known."""

import json
from pathlib import Path
from typing import Any

from service.access.key_file import hash_of, new_secret


def written(path: Path, **keys: dict[str, Any]) -> dict[str, str]:
    """Write keys by their names; their secrets, as headers have them."""
    secrets = {name: new_secret() for name in keys}
    records = [
        {"name": name, "sha256": [hash_of(secrets[name])]} | said for name, said in keys.items()
    ]
    path.write_text(json.dumps({"keys": records}))
    return {name: f"Bearer {secret}" for name, secret in secrets.items()}


def scoped(*scopes: str, **more: Any) -> dict[str, Any]:
    """What a key says of itself."""
    return {"scopes": list(scopes)} | more
