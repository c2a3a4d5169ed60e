"""Where composed weights are kept: in the process, in Redis, or not at all."""
