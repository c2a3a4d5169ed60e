"""What a run on a GPU has found so far, kept where a failure of one part cannot hide it."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from training.studies.claims import Claim


@dataclass
class Report:
    """Claims, lines of the table, and the sections that failed."""

    most_seconds: float
    """After so many no other section is begun."""
    claims: list[Claim] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def section(self, name: str, measure: Callable[[], None]) -> None:
        """Measure; what goes wrong is said, and the next section is measured all the same."""
        if time.monotonic() - self.started > self.most_seconds:
            self.failed.append(f"{name}: there was no time left")
            return
        try:
            measure()
        except Exception as error:
            traceback.print_exc()
            self.failed.append(f"{name}: {type(error).__name__}: {error}"[:500])

    def line(self, text: str) -> None:
        """Kept for the table, and printed at once: the run may be cut off."""
        self.lines.append(text)
        print(text, flush=True)
