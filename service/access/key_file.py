"""The file of keys: their names, scopes, tenants, limits and hashes. Refuses it whole, or takes it.

Nothing that it says of what is wrong repeats a value: somebody may have put a secret there.
"""

import hashlib
import json
import re
import secrets
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_store.task_names import is_tenant_name

Scope = Literal["predict", "publish", "admin"]

_SECRET_START = "impress_"  # noqa: S105 so that scanners for lost secrets can know one
_SECRET_BYTES = 32
_TOML = ".toml"
LOOKS_LIKE_A_SECRET = re.compile(rf"{_SECRET_START}[A-Za-z0-9_-]{{43}}")

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KeyRecord(BaseModel):
    """One key; each of its secrets, new and old while it is rotated, by SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: _Name
    sha256: tuple[_Sha256, ...] = Field(min_length=1, max_length=8)
    scopes: frozenset[Scope] = Field(min_length=1)
    tenant: _Name | None = None
    requests_per_second: float | None = Field(default=None, gt=0, le=1e9)
    rows_per_second: float | None = Field(default=None, gt=0, le=1e9)
    burst_seconds: float = Field(default=1, gt=0, le=3600)
    most_tasks: int | None = Field(default=None, ge=0, le=1_000_000_000)
    expires: AwareDatetime | None = None

    @model_validator(mode="after")
    def _refuse_half_an_admin(self) -> "KeyRecord":
        if self.tenant is not None and not is_tenant_name(self.tenant):
            raise ValueError("tenant: expected a tenant's name")
        if self.tenant is not None and "admin" in self.scopes:
            raise ValueError("expected no tenant beside the scope admin, which sees all of them")
        return self


class KeyFile(BaseModel):
    """All keys. Names differ, and so do secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: tuple[KeyRecord, ...]

    @model_validator(mode="after")
    def _refuse_twins(self) -> "KeyFile":
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            raise ValueError("expected each key's name once")
        hashes = [digest for key in self.keys for digest in key.sha256]
        if len(set(hashes)) < len(hashes):
            raise ValueError("expected each hash once")
        return self


def read_key_file(path: Path) -> KeyFile:
    """What the file says, in TOML if its name ends so. Raises `ValueError` or `OSError`."""
    data = path.read_bytes()
    try:
        if path.suffix == _TOML:
            return KeyFile.model_validate(_document(path, data))
        return KeyFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"keys_file {path}: {where + ': ' if where else ''}{first['msg']}"
        ) from None


def write_key_file(path: Path, keys: KeyFile) -> None:
    """Put the file in place whole, readable by its owner alone unless it is there already.

    Raises `ValueError` on one in TOML, whose comments it would lose, or `OSError`.
    """
    if path.suffix == _TOML:
        raise ValueError(f"{path}: a file of keys in TOML is written by hand; JSON is written here")
    document = keys.model_dump(mode="json", exclude_defaults=True)
    for key in document["keys"]:
        key["scopes"] = sorted(key["scopes"])
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=path.stat().st_mode & 0o777 if path.exists() else 0o600, exist_ok=False)
    fresh.write_text(json.dumps(document, indent=2) + "\n")
    fresh.replace(path)


def _document(path: Path, data: bytes) -> object:
    try:
        return tomllib.loads(data.decode())
    except ValueError:  # which may repeat what is there
        raise ValueError(f"keys_file {path}: expected TOML in UTF-8") from None


def new_secret() -> str:
    """A secret of 256 random bits: so long that one hash keeps it, without salt or repetition."""
    return _SECRET_START + secrets.token_urlsafe(_SECRET_BYTES)


def hash_of(secret: str) -> str:
    """What the file keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
