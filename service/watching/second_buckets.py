"""The buckets of every histogram of durations: from half a millisecond to five seconds."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Upper bounds, each within its bucket."""
