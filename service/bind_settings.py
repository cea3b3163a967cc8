"""The address on which a node listens. `heyday health`, which runs every few seconds, reads no other setting."""

from __future__ import annotations

from collections.abc import Mapping

from service.environment import Environment, host_and_port

DEFAULT_BIND = ("127.0.0.1", 8080)
"""Host and port of the API. Without a setting, only this machine reaches it."""


def read_bind(environment: Mapping[str, str]) -> tuple[str, int]:
    """Read only the host and the port on which a node listens. Raises BadConfiguration."""
    reader = Environment(environment)
    bind = reader.value("BIND", host_and_port, DEFAULT_BIND)
    reader.raise_errors()
    return bind
