"""Every kind of fault."""

from __future__ import annotations

from actors.commands.chaos.faults.api import SilentConnections
from actors.commands.chaos.faults.connections import CONNECTION_FAULTS, ConfirmAndDrop, LoseClaimAnswers
from actors.commands.chaos.faults.email import (
    AcceptThenFail,
    Down,
    Erratic,
    RefuseAll,
    Slow,
    Throttle,
    Unreachable,
    WrongKey,
)
from actors.commands.chaos.faults.fault import Fault, Need, NoEffect
from actors.commands.chaos.faults.hold import Hold
from actors.commands.chaos.faults.nodes import DrainNode, KillAllNodes, KillNode, StarveNode, StopNode
from actors.commands.chaos.faults.postgres import (
    DamageRow,
    ExhaustConnections,
    FillDisk,
    KillPostgres,
    OpenTransaction,
    RestartPostgres,
)
from actors.commands.chaos.faults.power import CutPower
from actors.commands.chaos.faults.rules import ChangeRules
from actors.commands.chaos.faults.stores import (
    DeleteQueue,
    FillRedis,
    FlushRedis,
    KillRedis,
    PurgeQueue,
    RestartRabbitMQ,
    ShareQueue,
)

_ALL: tuple[type[Fault], ...] = (
    *(KillNode, KillAllNodes, StopNode, StarveNode, DrainNode, ChangeRules, Hold, SilentConnections),
    *(FlushRedis, KillRedis, FillRedis, PurgeQueue, DeleteQueue, ShareQueue, RestartRabbitMQ, ConfirmAndDrop),
    *(RestartPostgres, KillPostgres, ExhaustConnections, FillDisk, OpenTransaction, DamageRow, LoseClaimAnswers),
    CutPower,
    *CONNECTION_FAULTS,
    *(Down, Unreachable, Throttle, WrongKey, RefuseAll, Slow, Erratic, AcceptThenFail),
)

KINDS: dict[str, type[Fault]] = {kind.name: kind for kind in _ALL}
"""Every kind of fault by its name, in the order of the reports."""

__all__ = ["KINDS", "Fault", "Need", "NoEffect"]
