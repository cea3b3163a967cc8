"""Compares the database with the ledger of the fake email service after a rehearsal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import orjson

from actors.commands.chaos.environment import Environment
from actors.commands.chaos.faults.nodes import lacks_memory
from actors.commands.chaos.fleet import Fleet
from actors.commands.chaos.wave import Wave
from actors.commands.rehearsal.records import DueGreeting, Work, count_unplanned, read_tried, read_work
from actors.commands.rehearsal.verdict import Verdict, judge
from service.adapters.postgres.queries import load

PLANNED_AHEAD = timedelta(hours=72)
"""Time before the instant at which the first half of the users sign up. It is beyond the planned range."""

SUSPECTS = 50
"""Messages with a fault whose history is kept, at most."""

_SQL = load("environment.sql", __package__)


async def judge_wave(
    environment: Environment, wave: Wave, due: Sequence[DueGreeting]
) -> tuple[Verdict, Sequence[Work]]:
    """The verdict, and the records on which it is based. Raises Unavailable."""
    accepted = [one for block in environment.stub.ledger.acceptances() for one in block]
    tried = await read_tried(environment.database, {UUID(one.key) for one in accepted if one.key})
    work = await read_work(environment.database, wave.due, wave.due + timedelta(microseconds=1))
    verdict = judge(
        work,
        [(one.key, one.at) for one in accepted],
        since=wave.due - PLANNED_AHEAD,
        due=len(due),
        unplanned=await count_unplanned(environment.database, due),
        tried={str(id_) for id_ in tried},
        business_time=environment.business_time,
        failures_allowed=environment.failures_allowed,
    )
    return verdict, work


async def suspects_of(environment: Environment, work: Sequence[Work]) -> list[dict[str, object]]:
    """The history of messages that are lost, early or duplicated, in the database and in the ledger."""
    times: dict[str, list[str]] = defaultdict(list)
    for block in environment.stub.ledger.acceptances():
        for one in block:
            times[str(one.key)].append(environment.business_time(one.at).isoformat())
    count = Counter({key: len(found) for key, found in times.items()})
    suspects = [
        one.id
        for one in work
        if one.status != "sent"
        or count[str(one.id)] != 1 + min(one.unknown, count[str(one.id)] - 1)
        or (one.first_began and one.first_began < one.send_at)
    ]
    rows = await environment.database.fetch(_SQL.history, suspects[:SUSPECTS])
    found = [{name: orjson.loads(row[name] or "null") for name in ("message", "attempts")} for row in rows]
    return [one | {"acceptedAt": times[one["message"]["id"]]} for one in found]


def crashes_of(fleet: Fleet) -> int:
    """The number of actor crashes in the logs of the nodes, except those without memory: `starve-node` causes them."""
    return sum(
        1
        for slot in fleet.slots
        for line in slot.log.read_text(errors="replace").splitlines()
        if '"actor_crashed"' in line and not lacks_memory(line)
    )
