"""The online service: reads a store, answers predictions, accepts new tasks, never trains."""
