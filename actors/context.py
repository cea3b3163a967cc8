"""The state that every acting actor of a node is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.failpoints import FailpointHook, no_failpoints
from service.node.clock import BusinessClock
from service.node.lease import Lease
from service.node.outages import Outages
from service.node.sending_holds import SendingHolds
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing


@dataclass(frozen=True)
class NodeContext:
    """The state that all actors of one node share.

    `failpoint` is called after each durable step; `tracing` begins the spans. Both do nothing by default.
    """

    lease: Lease
    clock: BusinessClock
    outages: Outages
    metrics: Metrics
    holds: SendingHolds = field(default_factory=SendingHolds)
    failpoint: FailpointHook = no_failpoints
    tracing: Tracing = OFF
