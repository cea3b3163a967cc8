"""Logs, metrics and traces. They contain ids only: no name, address or text of a greeting."""
