"""The kinds of waves to measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

IN_FLIGHT = 100
"""Concurrent calls if answers are immediate: the default of a node, at which aiohttp is about fastest."""

IN_FLIGHT_SLOW = 400
"""Concurrent calls if an answer takes 50 ms."""

ACTORS = (1, 5, 10, 20)
NODES = (1, 2, 4)

CALLS_OF_A_NODE = 50
"""HEYDAY_EMAIL_CONCURRENCY in cases with several nodes: with answers after 50 ms at most 1,000 calls/s each, so
waiting for answers is the limit, not the shared cores."""

RATE = 500.0
"""Calls per second of the waves with a given rate."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of wave. The bare loop makes the same calls with the same answers and the same concurrency."""

    greetings: int = 10_000
    nodes: int = 1
    actors: int | None = None
    """Delivery actors of a node; None: the default of heyday."""
    latency: float = 0.0
    """Seconds that the email service takes for a call."""
    error_rate: float = 0.0
    """Share of the calls that the email service answers with an error."""
    stream: bool = False
    """True if the delivery queue is a Redis stream."""
    rate: float | None = None
    """HEYDAY_EMAIL_RATE, in calls per second over all nodes."""

    calls: int | None = None
    """HEYDAY_EMAIL_CONCURRENCY of each node; None: the best number for these answers, divided by the nodes."""
    metrics: bool = True
    """True if the nodes count metrics; False only to measure their cost (loadtest.telemetry)."""

    @property
    def in_flight(self) -> int:
        """Return the concurrent calls of all nodes together."""
        if self.calls is not None:
            return self.calls * self.nodes
        return IN_FLIGHT_SLOW if self.latency else IN_FLIGHT

    @property
    def answers(self) -> str:
        """Return the answers of the email service in words."""
        when = f"after {self.latency * 1000:g} ms" if self.latency else "at once"
        return when + (f", {self.error_rate:.0%} errors" if self.error_rate else "")

    @property
    def name(self) -> str:
        """Return the case in words, without its number of greetings."""
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
    """Return every case: each kind of answer, either queue, 1, 2, 4 nodes; numbers of delivery actors; added nodes,
    each with as many calls; a given rate."""
    plain = Case(greetings)
    answers = (plain, replace(plain, latency=0.05), replace(plain, error_rate=0.1))
    return [
        *(replace(one, stream=stream, nodes=nodes) for stream, one, nodes in product((False, True), answers, NODES)),
        *(replace(one, actors=actors) for one, actors in product(answers, ACTORS)),
        *(replace(plain, latency=0.05, calls=CALLS_OF_A_NODE, nodes=nodes) for nodes in NODES),
        *(replace(plain, rate=RATE, nodes=nodes) for nodes in NODES),
    ]
