"""What a PromQL expression asks for: names of metrics and of labels, found without a parser."""

import re

WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "or", "and", "unless"}
# Prometheus adds them to whatever it scrapes.
SCRAPE_LABELS = {"job", "instance"}
# What Prometheus is given for what Grafana fills in.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$route": ".*"}


def filled_in(expression: str) -> str:
    """The expression with a value for each of the dashboards' variables."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def without_strings(expression: str) -> str:
    """The expression with every string emptied."""
    return re.sub(r'"(\\.|[^"\\])*"', '""', expression)


def metric_names(expression: str) -> set[str]:
    """The series that are asked for."""
    bare = without_strings(expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    bare = re.sub(r"\boffset\s+\w+", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare)) - WORDS


def label_names(expression: str) -> set[str]:
    """The labels that are filtered or grouped by."""
    bare = without_strings(expression)
    matched = [re.findall(r"(\w+)\s*[=!]", part) for part in re.findall(r"\{([^}]*)\}", bare)]
    grouped = [re.findall(r"\w+", part) for part in re.findall(r"\bby\s*\(([^)]*)\)", bare)]
    return {name for names in matched + grouped for name in names}
