"""A page of which a part is made from the code, between two marks."""


def with_part(page: str, begin: str, end: str, part: str) -> str:
    """The page with the part as it is now. Raises `ValueError` where a mark is missing."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"expected the marks {begin} and {end} in the page")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"
