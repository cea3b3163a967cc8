"""The faults, each a small class that says what it does and what it means to have recovered from it."""

from __future__ import annotations

from actors.chaos.faults.connections import CONNECTION_FAULTS
from actors.chaos.faults.email import AcceptThenFail, Down, Erratic, Slow
from actors.chaos.faults.fault import Fault, Need
from actors.chaos.faults.nodes import DrainNode, KillAllNodes, KillNode, StarveNode, StopNode
from actors.chaos.faults.postgres import ExhaustConnections, FillDisk, KillPostgres, RestartPostgres
from actors.chaos.faults.stores import DeleteQueue, FillRedis, FlushRedis, KillRedis, PurgeQueue, RestartRabbitMQ

_ALL: tuple[type[Fault], ...] = (
    *(KillNode, KillAllNodes, StopNode, StarveNode, DrainNode),
    *(FlushRedis, KillRedis, FillRedis, PurgeQueue, DeleteQueue, RestartRabbitMQ),
    *(RestartPostgres, KillPostgres, ExhaustConnections, FillDisk),
    *CONNECTION_FAULTS,
    *(Down, Slow, Erratic, AcceptThenFail),
)

KINDS: dict[str, type[Fault]] = {kind.name: kind for kind in _ALL}
"""Every kind of fault by its name, in the order in which they are told."""

__all__ = ["KINDS", "Fault", "Need"]
