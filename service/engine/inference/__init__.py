"""Which task rows without a task belong to: the engine's side of task inference."""
