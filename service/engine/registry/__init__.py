"""All tasks in memory, and how they change while they serve."""
