"""Actors under supervision: mailboxes with back-pressure, restarts with a limit, draining in order.

The package knows nothing of greetings and needs only the standard library. Read its modules in this order: mailbox,
address, actor, actor_instance, cell, restarter, group, supervisor. docs/explanation/actor_runtime.md explains how a
child ends.
"""

from actors.runtime.actor import Actor, Context, Timer
from actors.runtime.address import Address, Reply
from actors.runtime.errors import (
    ActorError,
    ActorFailed,
    MailboxFull,
    Stopped,
    StrayCancellation,
    TooManyRestarts,
)
from actors.runtime.events import (
    Abandoned,
    Crashed,
    Drained,
    Draining,
    DrainReport,
    Escalated,
    Event,
    Restarting,
    Started,
    StopFailed,
    TaskFailed,
)
from actors.runtime.mailbox import Mailbox
from actors.runtime.restarts import Backoff, Intensity
from actors.runtime.spec import ActorState, ChildSpec, ChildView, Pool, Strategy
from actors.runtime.supervisor import AnyChild, Supervisor

__all__ = [
    "Abandoned",
    "Actor",
    "ActorError",
    "ActorFailed",
    "ActorState",
    "Address",
    "AnyChild",
    "Backoff",
    "ChildSpec",
    "ChildView",
    "Context",
    "Crashed",
    "DrainReport",
    "Drained",
    "Draining",
    "Escalated",
    "Event",
    "Intensity",
    "Mailbox",
    "MailboxFull",
    "Pool",
    "Reply",
    "Restarting",
    "Started",
    "StopFailed",
    "Stopped",
    "Strategy",
    "StrayCancellation",
    "Supervisor",
    "TaskFailed",
    "Timer",
    "TooManyRestarts",
]
