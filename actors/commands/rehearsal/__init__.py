"""Shared by demo, chaos and load tests: nodes as processes, records of their work, and the verdict."""
