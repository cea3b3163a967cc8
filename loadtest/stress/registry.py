"""Every scenario, and the named sets."""

from __future__ import annotations

from loadtest.stress import abuse, limits, tools, traffic
from loadtest.stress.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("api-mixed", "1,000 concurrent users of the API, 500 requests/s in all", 3, traffic.mixed, 2),
        Scenario("api-wave", "200 requests/s while 10,000 greetings leave", 2, traffic.during_wave, 1),
        Scenario("ramp", "0 to 1,000 requests/s within 10 s, and half a minute of that", 1, traffic.ramp),
        Scenario("sustained", "500 requests/s", 6, traffic.sustained, 5),
        Scenario("soak", "100 requests/s and 20 greetings/s, with a verdict on leaks", 61, traffic.soak, 60),
        Scenario("connections", "another client takes every connection of PostgreSQL", 2, limits.connections),
        Scenario("queue-bounded", "30,000 due at once at 500/s: they wait in PostgreSQL", 2, tools.bounded),
        Scenario("queue-full", "20,000 due, and a delivery queue that holds 1,000", 3, limits.queue_full),
        Scenario("birthdays", "10,000 birthdays on one day, planned and sent", 1, tools.birthdays),
        Scenario("planning", "1,000,000 birthdays on one day, planned", 4, tools.planning),
        Scenario("workers", "1, 5, 10 and 20 delivery actors", 2, tools.workers),
        Scenario("nodes", "1, 2 and 4 nodes", 2, tools.nodes),
        Scenario("failures", "database, Redis, RabbitMQ, email service, memory and disk fail", 6, tools.failures),
        Scenario("abuse", "each attack on one of two nodes for a minute, and a wave of 2,000", 9, abuse.abuse, 8),
        Scenario("memory", "a node held to a hard memory limit while a backlog drains", 3, limits.memory),
    )
}

QUICK = ("api-mixed", "api-wave", "ramp", "sustained", "connections", "queue-full", "birthdays", "abuse", "memory")

SETS: dict[str, tuple[str, ...]] = {"quick": QUICK, "all": tuple(SCENARIOS)}
"""CI runs `quick` every night with --minutes 2, and a longer soak."""
