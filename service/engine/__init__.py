"""The engine: tasks, composed weights, batches and task inference. Knows no HTTP."""
