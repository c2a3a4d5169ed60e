"""The method: one frozen random network, a bank of supermasks, a few numbers per task.

Knows torch and numpy only: no disk, no HTTP, no environment, no globals.
"""
