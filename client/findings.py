"""What a look at a set-up finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: right, worth a thought, or wrong, and what to do."""

    state: Literal["ok", "warning", "wrong"]
    what: str
    said: str
    advice: str = ""
