"""Exemplars: which request and task a bucket's count was of, for who looks at a histogram."""

_MOST_CHARACTERS = 128
"""Of names and values together, as OpenMetrics has it."""


def exemplar(**labels: str | None) -> dict[str, str]:
    """The labels that have a value and fit, the first ones first; what does not fit is left out."""
    left = _MOST_CHARACTERS
    fitting: dict[str, str] = {}
    for name, value in labels.items():
        # What cannot be printed could not be written either, and the whole page would be lost.
        if value and value.isprintable() and len(name) + len(value) <= left:
            fitting[name] = value
            left -= len(name) + len(value)
    return fitting
