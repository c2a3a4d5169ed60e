"""What a study is to the report, and where it measures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from masked_network.devices import CPU
from training.studies.claims import Claim
from training.studies.data import DataSets
from training.studies.ledger import Ledger


@dataclass(frozen=True)
class Bench:
    """Where studies measure: the report's folder, its ledger, the data sets and the device."""

    folder: Path
    ledger: Ledger
    data: DataSets
    say: Callable[[str], None] = lambda _: None
    """Hears a line for each measurement."""
    device: torch.device = CPU
    """Where tasks are learned and measured."""


@dataclass(frozen=True)
class Section:
    """A study's part of the page: Markdown, the figures that it shows, and its claims."""

    markdown: str
    claims: Sequence[Claim]
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG by file name."""
    machines: frozenset[str] = frozenset()
    """On which its measurements were made."""


class Study(Protocol):
    """Something that is measured. It measures only what the ledger does not hold."""

    @property
    def name(self) -> str:
        """As `--only` takes it."""

    @property
    def title(self) -> str:
        """Its heading on the page."""

    @property
    def parts(self) -> Sequence[str]:
        """What can be measured side by side: mostly its data sets."""

    @property
    def timed(self) -> bool:
        """Whether it measures time, so that nothing else may run beside it."""

    def run(self, bench: Bench, part: str) -> None:
        """Measure what the ledger lacks of a part, a line each; nothing without its data."""

    def section(self, bench: Bench) -> Section:
        """What the ledger says of it. Measures nothing, and claims what was not measured too."""


@runtime_checkable
class Divisible(Study, Protocol):
    """A study of whose parts several processes can each take some."""

    def finished(self, bench: Bench, part: str) -> bool:
        """Whether the ledger lacks nothing of a part."""
