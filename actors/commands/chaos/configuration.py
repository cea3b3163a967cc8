"""The settings of the nodes: those of the environment, except where they would lead out of the rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.chaos.options import ENVIRONMENT, ChaosOptions
from actors.chaos.pace import concurrency
from service.settings import Settings, read

QUICK = {
    "HEYDAY_EMAIL_TIMEOUT": "5s",
    "HEYDAY_EMAIL_ATTEMPTS": "50",
    "HEYDAY_EMAIL_BACKOFF": "200ms",
    "HEYDAY_EMAIL_BACKOFF_LIMIT": "5s",
    "HEYDAY_CIRCUIT_RESET": "1s",
}
"""Settings under which what takes minutes in production takes moments, unless the environment says otherwise."""

OURS = {
    "HEYDAY_RATE_LIMIT": "off",
    "HEYDAY_LOG_FORMAT": "json",
}
"""Settings that the rehearsal needs to be so."""

_SERVERS = ("HEYDAY_DATABASE_URL", "HEYDAY_REDIS_URL", "HEYDAY_RABBITMQ_URL")
_NOT_TAKEN = (*_SERVERS, "HEYDAY_EMAIL_URL", "HEYDAY_BIND", "HEYDAY_NODE_ID", "HEYDAY_API_KEYS")


@dataclass(frozen=True, slots=True)
class Configuration:
    """`nodes` is the environment of each node, without URLs; `settings` is what they read from it."""

    nodes: dict[str, str]
    settings: Settings


def configure(environment: Mapping[str, str], options: ChaosOptions, faults: int) -> Configuration:
    """The configuration for so many faults. Raises BadConfiguration with every mistake in the environment."""
    left_out = {name + suffix for name in _NOT_TAKEN for suffix in ("", "_FILE")}
    taken = {
        name: value
        for name, value in environment.items()
        if name.startswith("HEYDAY_") and name not in left_out and value.strip()
    }
    nodes = QUICK | taken | OURS
    servers = {"HEYDAY_DATABASE_URL": "postgresql://h/d", "HEYDAY_REDIS_URL": "redis://h"}
    if options.servers == ENVIRONMENT:
        names = {name + suffix for name in _SERVERS for suffix in ("", "_FILE")}
        servers = {name: value for name, value in environment.items() if name in names}
    settings = read(nodes | servers | {"HEYDAY_EMAIL_URL": "http://127.0.0.1"})
    if "HEYDAY_EMAIL_CONCURRENCY" not in taken:
        timeout = settings.email_timeout.total_seconds()
        calls = concurrency(options.greetings, faults, options.nodes, timeout)
        nodes["HEYDAY_EMAIL_CONCURRENCY"] = str(calls)
        nodes.setdefault("HEYDAY_DELIVERY_ACTORS", str(min(calls, Settings.delivery_actors)))
        settings = read(nodes | servers | {"HEYDAY_EMAIL_URL": "http://127.0.0.1"})
    return Configuration(nodes, settings)
