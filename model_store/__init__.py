"""The store: all that trainer and service share, on disk.

A manifest, the bank or its seed, and a folder for each task. Never the backbone's weights.
"""
