"""The kinds of wave that are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

IN_FLIGHT = 100
"""Calls on the wire at once where answers come at once: the default of a node, and about where aiohttp is fastest."""

IN_FLIGHT_SLOW = 400
"""The same where an answer takes 50 ms."""

ACTORS = (1, 5, 10, 20)
NODES = (1, 2, 4)

CALLS_OF_A_NODE = 50
"""HEYDAY_EMAIL_CONCURRENCY where nodes are added: with answers after 50 ms at most 1,000 calls a second each, so that
waiting for answers limits a node, and not the cores that all of them share."""

RATE = 500.0
"""Calls a second of the waves that leave at a given rate."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of wave. The bare loop beside it makes the same calls with the same answers, as many at a time."""

    greetings: int = 10_000
    nodes: int = 1
    actors: int | None = None
    """Delivery actors of a node; None: the default of heyday."""
    latency: float = 0.0
    """Seconds that the email service takes for a call."""
    error_rate: float = 0.0
    """Share of the calls that it answers with an error."""
    stream: bool = False
    """Whether the delivery queue is a Redis stream."""
    rate: float | None = None
    """HEYDAY_EMAIL_RATE, in calls a second over all nodes."""

    calls: int | None = None
    """HEYDAY_EMAIL_CONCURRENCY of each node; None: all nodes together have as many as is best for these answers."""
    metrics: bool = True
    """Whether its nodes count anything: always, but where one measures what that costs (loadtest.telemetry)."""

    @property
    def in_flight(self) -> int:
        """Calls on the wire at once, of all nodes together."""
        if self.calls is not None:
            return self.calls * self.nodes
        return IN_FLIGHT_SLOW if self.latency else IN_FLIGHT

    @property
    def answers(self) -> str:
        """How the email service answers, in words."""
        when = f"after {self.latency * 1000:g} ms" if self.latency else "at once"
        return when + (f", {self.error_rate:.0%} errors" if self.error_rate else "")

    @property
    def name(self) -> str:
        """The case in words; no two differ in nothing but their greetings."""
        parts = [
            "Redis stream" if self.stream else "RabbitMQ",
            f"{self.nodes} node" + "s" * (self.nodes > 1),
            f"answers {self.answers}",
        ]
        if self.actors is not None:
            parts.append(f"{self.actors} delivery actor" + "s" * (self.actors > 1))
        if self.calls is not None:
            parts.append(f"{self.calls} calls at a time each")
        if self.rate is not None:
            parts.append(f"at most {self.rate:g}/s")
        if not self.metrics:
            parts.append("without metrics")
        return ", ".join(parts)


def matrix(greetings: int) -> list[Case]:
    """Every kind of answer with either queue on 1, 2 and 4 nodes; the numbers of delivery actors; nodes that are added,
    each with as many calls; a given rate."""
    plain = Case(greetings)
    answers = (plain, replace(plain, latency=0.05), replace(plain, error_rate=0.1))
    return [
        *(replace(one, stream=stream, nodes=nodes) for stream, one, nodes in product((False, True), answers, NODES)),
        *(replace(one, actors=actors) for one, actors in product(answers, ACTORS)),
        *(replace(plain, latency=0.05, calls=CALLS_OF_A_NODE, nodes=nodes) for nodes in NODES),
        *(replace(plain, rate=RATE, nodes=nodes) for nodes in NODES),
    ]
