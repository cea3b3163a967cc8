"""The settings of the nodes: those of the environment, except those that lead out of the rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.commands.chaos.latency_plan import concurrency
from actors.commands.chaos.options import ENVIRONMENT, ChaosOptions
from service.settings import Settings, read

QUICK_SETTINGS = {
    "HEYDAY_EMAIL_TIMEOUT": "5s",
    "HEYDAY_EMAIL_BACKOFF": "200ms",
    "HEYDAY_EMAIL_BACKOFF_LIMIT": "5s",
    "HEYDAY_CIRCUIT_RESET": "1s",
}
"""Defaults with which recovery takes seconds instead of minutes."""

FIXED_SETTINGS = {
    "HEYDAY_RATE_LIMIT": "off",
    "HEYDAY_LOG_FORMAT": "json",
}
"""Settings that the rehearsal needs."""

_SERVERS = ("HEYDAY_DATABASE_URL", "HEYDAY_REDIS_URL", "HEYDAY_RABBITMQ_URL")
_NOT_TAKEN = (*_SERVERS, *(f"HEYDAY_{name}" for name in ("BIND", "NODE_ID", "API_KEYS", "ONLY_TO", "TRACES")))

_OF_EMAIL = frozenset(
    f"HEYDAY_EMAIL_{name}" for name in ("TIMEOUT", "CONCURRENCY", "RATE", "ATTEMPTS", "BACKOFF", "BACKOFF_LIMIT")
)
"""The email settings that a rehearsal takes: bounds of the calls. The others describe a real service."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """`nodes` is the environment of each node, without URLs. `settings` are the values that it reads from it."""

    nodes: dict[str, str]
    settings: Settings


def configure(environment: Mapping[str, str], options: ChaosOptions, seconds: float) -> Configuration:
    """Make the configuration for a wave of that many seconds. Raises BadConfiguration."""
    left_out = {name + suffix for name in _NOT_TAKEN for suffix in ("", "_FILE")}
    left_out |= {name for name in environment if name.startswith("HEYDAY_EMAIL_")} - _OF_EMAIL
    taken = {
        name: value
        for name, value in environment.items()
        if name.startswith("HEYDAY_") and name not in left_out and value.strip()
    }
    nodes = QUICK_SETTINGS | taken | FIXED_SETTINGS
    servers = {"HEYDAY_DATABASE_URL": "postgresql://h/d", "HEYDAY_REDIS_URL": "redis://h"}
    if options.servers == ENVIRONMENT:
        names = {name + suffix for name in _SERVERS for suffix in ("", "_FILE")}
        servers = {name: value for name, value in environment.items() if name in names}
    settings = read(nodes | servers | {"HEYDAY_EMAIL_URL": "http://127.0.0.1"})
    if "HEYDAY_EMAIL_CONCURRENCY" not in taken:
        timeout = settings.email_timeout.total_seconds()
        calls = concurrency(options.greetings, seconds, options.nodes, timeout)
        nodes["HEYDAY_EMAIL_CONCURRENCY"] = str(calls)
        nodes.setdefault("HEYDAY_DELIVERY_ACTORS", str(min(calls, Settings.delivery_actors)))
        settings = read(nodes | servers | {"HEYDAY_EMAIL_URL": "http://127.0.0.1"})
    return Configuration(nodes, settings)
