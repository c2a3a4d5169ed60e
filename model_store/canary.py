"""Which version of a task takes a share of its requests in place of the current one."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.errors import CorruptArtifact


class Canary(BaseModel):
    """As the log keeps it, in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: Annotated[float, Field(gt=0, le=1)]
    """Of the task's requests."""
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Content hash of the artifact that answers them."""

    def to_bytes(self) -> bytes:
        """The one text of it."""
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "Canary":
        """Parse. Raises `CorruptArtifact`."""
        try:
            return cls.model_validate_json(bytes(data))
        except ValidationError as error:
            raise CorruptArtifact(f"expected a canary, got {bytes(data)[:80]!r}") from error
