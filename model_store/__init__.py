"""The store: all that trainer and service share, on disk.

A manifest, the bank or its seed, and segment files with the tasks. Never the backbone's weights.
"""
