"""The fakes held to the real adapters: the same calls on both, drawn from a seed, every answer and row compared."""
