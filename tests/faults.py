"""What tests of faults tried and what was lost by it: a table and claims of the whole run.

Part of the tests' configuration: `--chaos-long` asks for the long form, `--chaos-out FOLDER` for
`claims.json` there, `--chaos-page FILE` for the table between the marks of a page.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from model_store.files import LocalFolder
from training.studies.claims import CLAIMS_FILE, Claim, at_most, claims_json
from training.studies.machine import machine_in_words
from training.studies.tables import claims_table, markdown_table

BEGIN, END = "<!-- faults: made by `make chaos` -->", "<!-- end of faults -->"


class Fault(NamedTuple):
    """One kind of fault, as often as it was tried."""

    part: str
    what: str
    times: int
    checked: int
    of: str
    lost: int


@dataclass
class Faults:
    """Of one run of the tests."""

    is_long: bool
    tried: list[Fault] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    failed: int = 0

    def add(self, part: str, what: str, *, times: int, checked: int, of: str, lost: int) -> None:
        """Note a fault that was tried so many times, and of how many things checked were lost."""
        self.tried.append(Fault(part, what, times, checked, of, lost))

    def claim(self, claim: Claim) -> None:
        """Note a bound on time, which only the long form asks for."""
        if self.is_long:
            self.claims.append(claim)

    def all_claims(self) -> list[Claim]:
        """Nothing lost by any fault, the bounds on time, and no test that failed."""
        nothing_lost = [
            at_most(f"{one.part}: {one.what}: lost of {one.checked:,}", one.lost, 0, one.of)
            for one in self.tried
        ]
        failed = at_most("tests of faults that failed", self.failed, 0, "tests")
        return [*nothing_lost, *self.claims, failed]

    def page(self, page: str) -> str:
        """The page with this run's table between its marks. Raises `ValueError` without them."""
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"expected the marks {BEGIN} and {END} in the page")
        form = "long" if self.is_long else "short"
        made = f"The {form} form, on: {machine_in_words()}."
        tables = [table(self.tried), *([claims_table(self.claims)] if self.claims else [])]
        made = "\n\n".join((made, *tables))
        return f"{before}{begin}\n\n{made}\n\n{end}{after}"


def table(tried: Iterable[Fault]) -> str:
    """Markdown, by the parts that were hurt."""
    return markdown_table(
        ("part", "fault", "times", "checked", "of", "lost"),
        [
            (one.part, one.what, f"{one.times:,}", f"{one.checked:,}", one.of, f"{one.lost:,}")
            for one in sorted(tried, key=lambda one: one.part)
        ],
    )


_FAULTS = pytest.StashKey[Faults]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "tests of faults")
    group.addoption("--chaos-long", action="store_true", help="many more of each fault")
    group.addoption("--chaos-out", type=Path, help="the folder for claims.json")
    group.addoption("--chaos-page", type=Path, help="the page to write the table into")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FAULTS] = Faults(config.getoption("--chaos-long"))


@pytest.fixture
def faults(pytestconfig: pytest.Config) -> Faults:
    """Of this run."""
    return pytestconfig.stash[_FAULTS]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.get_closest_marker("chaos") is not None:
        item.config.stash[_FAULTS].failed += 1
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash[_FAULTS]
    if found.tried:
        terminalreporter.section("faults tried")
        terminalreporter.write_line(table(found.tried))
    for claim in found.claims:
        kept = "holds" if claim.holds else "does not hold"
        said = f"{claim.claim}: {claim.measured}, {claim.bound} {claim.unit}: {kept}"
        terminalreporter.write_line(said)
    if (out := config.getoption("--chaos-out")) is not None:
        LocalFolder(out).write(CLAIMS_FILE, claims_json(found.all_claims()))
    if (page := config.getoption("--chaos-page")) is not None:
        page.write_text(found.page(page.read_text()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A claim that does not hold fails the run, as a failed test does."""
    if not all(claim.holds for claim in session.config.stash[_FAULTS].claims):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
