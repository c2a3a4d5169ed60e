"""The store's manifest: which backbone, which bank, which inputs. Versioned; never overwritten."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from masked_network.mask_bank import BankKind, Spread
from model_store.errors import CorruptStore
from model_store.preprocessing import Preprocessing

MANIFEST_VERSION: Final = 3

Fingerprint = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


_SHORT_DIGITS = 16


def short_fingerprint(fingerprint: str) -> str:
    """The first 16 of a fingerprint's hexadecimal digits, for where bytes count."""
    return fingerprint.removeprefix("sha256:")[:_SHORT_DIGITS]


def _readable_version(found: object) -> object:
    if found in (1, 2):
        raise ValueError(f"{found}, a store of an earlier form, is no longer read: make it again")
    return found


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BackboneRecord(_Record):
    """The shared network: its architecture and the seed that its weights come from."""

    name: str
    outputs: int = Field(ge=1, le=65536)
    """Output neurons; a task of fewer classes uses the first of them."""
    seed: Seed
    fingerprint: Fingerprint
    """Of the weights that the seed makes."""


class BankRecord(_Record):
    """The bank of basis masks: a seed where that is enough, else a file beside the manifest."""

    kind: BankKind
    size: int = Field(ge=1, le=32768)
    """K."""
    channel_groups: int = Field(default=1, ge=1, le=65536)
    """In how many segments each layer's output channels are cut; each has its own masks and
    coefficients."""
    density: float = Field(gt=0, le=1)
    """As `MaskBank` has it."""
    seed: Seed | None
    """None where masks were learned: all are in `bank.safetensors`."""
    learned: int | None = Field(default=None, ge=1)
    """How many of a mixed bank's basis masks were learned, the first ones, the rest being random;
    or how many tasks a ranked bank was learned from."""
    spread: Spread = "even"
    """How a partition's groups are spread over the layers."""
    fingerprint: Fingerprint

    @model_validator(mode="after")
    def _as_its_kind_is(self) -> "BankRecord":
        if (self.kind in ("partition", "random")) != (self.seed is not None):
            raise ValueError("a random or partition bank has a seed, a learned one has none")
        if (self.kind in ("mixed", "ranked")) != (self.learned is not None):
            raise ValueError("a mixed or ranked bank, and no other, says how much was learned")
        return self


class Manifest(_Record):
    """Everything that a store's tasks share."""

    version: Annotated[Literal[3], BeforeValidator(_readable_version)] = MANIFEST_VERSION
    created: datetime
    backbone: BackboneRecord
    bank: BankRecord
    preprocessing: Preprocessing

    def to_bytes(self) -> bytes:
        """Indented JSON, for people to read."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> "Manifest":
        """Parse; `path` names the file in the error. Raises `CorruptStore`."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole file"
            raise CorruptStore(f"{path}: {where}: {first['msg']}") from error
