"""The data sets of a report, each read when a study first asks for it, and known by content."""

from collections.abc import Mapping
from dataclasses import dataclass

from training.data_sets import Reading, load_image_set
from training.errors import DataError
from training.image_sets import ImageSet
from training.studies.ledger import Got, Ledger


@dataclass(frozen=True)
class Source:
    """Where a data set is: a hub name or a folder, as `load_image_set` takes it."""

    name: str
    label_column: str | None = None


class DataSets:
    """Data sets by their part in the report, as `mnist`; one that cannot be had is a problem."""

    def __init__(self, sources: Mapping[str, Source], ledger: Ledger) -> None:
        self._sources = sources
        self._ledger = ledger
        self._loaded: dict[str, ImageSet] = {}
        self.problems: dict[str, str] = {}
        """Why a data set that was asked for could not be had."""

    def load(self, part: str) -> ImageSet | None:
        """The data set; None where it cannot be had."""
        if part in self.problems:
            return None
        if part not in self._loaded:
            source = self._sources[part]
            try:
                found = load_image_set(source.name, None, Reading(source.label_column))
            except DataError as error:
                self.problems[part] = str(error)
                return None
            self._loaded[part] = found
            noted = {
                "name": found.name,
                "images": f"{len(found.train):,} to learn from, {len(found.held_out):,} held out, "
                f"{len(found.test):,} to test",
                "fingerprint": found.fingerprint(),
            }
            if self._noted(part) != noted:
                self._ledger.add({"data": part}, noted)
        return self._loaded[part]

    def fingerprint(self, part: str) -> str | None:
        """Of the content that it had when it was last read; None where it never was."""
        noted = self._noted(part)
        return None if noted is None else str(noted["fingerprint"])

    def described(self) -> list[str]:
        """A line for each data set that the ledger knows: its name, its size and its content."""
        lines = []
        for part in self._sources:
            noted = self._noted(part)
            if noted is not None:
                lines.append(
                    f"{part}: {noted['name']}, {noted['images']}; {noted['fingerprint'][:23]}"
                )
        return lines

    def _noted(self, part: str) -> Got | None:
        entry = self._ledger.find({"data": part})
        return None if entry is None else entry.got
