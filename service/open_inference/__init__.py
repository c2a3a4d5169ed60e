"""The Open Inference Protocol: its requests read, its answers and its model repository written."""
