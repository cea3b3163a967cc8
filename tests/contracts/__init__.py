"""Compares the fakes with the real adapters: the same random calls on both, every answer and row compared."""
