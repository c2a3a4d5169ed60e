"""The report's one page, as Markdown, from the studies' sections. Measures nothing."""

from collections.abc import Iterator, Mapping

from training.studies.data import DataSets
from training.studies.study import Section
from training.studies.tables import claims_table

PAGE_FILE = "report.md"

_INTRODUCTION = """# Accuracy report

Everything on this page was measured by `{made_by}` on the machine named below. Learning rates
were chosen on held-out data; test data chose nothing and were read once, after learning. A share of
bytes is of whole files, as they lie in a store. Where a paper's figure stands beside, it says so,
and in what its setting was another."""


def page(
    full: bool,
    sections: Mapping[str, Section],
    data: DataSets,
    made_by: str = "make report REPORT={}",
) -> str:
    """The whole page; `sections` by their headings, `made_by` the command, with a place for how."""
    machines = sorted(set[str]().union(*(section.machines for section in sections.values())))
    claims = [claim for section in sections.values() for claim in section.claims]
    held = sum(claim.holds for claim in claims)
    command = made_by.format("full" if full else "quick")
    scale = "the long report" if full else "the quick report: few tasks, one seed"
    parts = [
        _INTRODUCTION.format(made_by=command),
        f"This is {scale}.",
        f"Measured on: {'; and on: '.join(machines) or 'nothing yet'}.",
        *_data(data),
        f"## Claims\n\n{held} of {len(claims)} hold. What was not measured does not hold.",
        claims_table(claims),
    ]
    parts += [f"## {title}\n\n{section.markdown}" for title, section in sections.items()]
    return "\n\n".join(parts) + "\n"


def _data(data: DataSets) -> Iterator[str]:
    if described := data.described():
        yield "\n".join(("Data:\n", *(f"- {line}" for line in described)))
    if data.problems:
        lines = (f"- {part}: {reason}" for part, reason in data.problems.items())
        yield "\n".join(("Data sets that could not be had in this run:\n", *lines))
