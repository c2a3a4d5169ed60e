"""Programs that `http_overhead` starts: a server to compare with, and the load."""
