"""Which rows are computed together, when, and who is told what came of it."""
