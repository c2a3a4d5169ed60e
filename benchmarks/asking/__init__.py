"""How tasks are asked for in benchmarks, in the engine and over HTTP, and how two ways compare."""
