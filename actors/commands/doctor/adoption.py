"""`heyday doctor --adopt`: accepts a database that the nodes refuse, after showing what it would send.

What is due in a restored database may have been sent after its backup was made. What Redis remembers as accepted is
recorded as sent. The rest is held for a person, in state `unknown`, unless the operator says that it is to be sent;
either way it is shown first, and nothing is chosen silently.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from uuid import UUID

from service.adapters.postgres.cluster import PostgresCluster
from service.adapters.postgres.connection import Database
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.restored import DueNow, PostgresRestored
from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.cluster import RedisClusterWitness
from service.adapters.redis.connection import RedisClients
from service.domain.cluster import Finding, judge
from service.domain.zones import TZDATA_VERSION
from service.planning import Rules, days, horizon, instants
from service.ports import Recalled, Seen
from service.settings import Settings

AT_ONCE = 2_000
"""Messages of one statement."""

HELD = "held: the database was restored, and it may have been sent after the backup"
"""The reason that a held message shows."""

SETTLED = "accepted after the backup, as Redis remembers"
"""The reason that a message shows which the database did not know to be sent."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the database is, what it thinks is due, and up to when it has planned."""

    finding: Finding
    seen: Seen
    recalled: Recalled
    now: datetime
    due: tuple[DueNow, ...]
    planned_up_to: datetime

    @property
    def used_elsewhere(self) -> bool:
        """Whether nodes with this Redis are working on another database right now."""
        return self.recalled.in_use not in {None, self.seen.here.database}


class Adoption:
    """One database that a person looks at and perhaps adopts. Every method raises Unavailable."""

    def __init__(self, settings: Settings, database: Database, redis: RedisClients) -> None:
        self._settings = settings
        self._row = PostgresCluster(database)
        self._nodes = PostgresNodes(database, tzdata=TZDATA_VERSION)
        self._planning = PostgresPlanning(database)
        self._restored = PostgresRestored(database)
        self._witness = RedisClusterWitness(redis.commands)
        self._accepted = RedisAcceptedKeys(redis.commands, late_limit=settings.late_limit)

    async def look(self) -> Situation:
        """What a node would find now."""
        recalled = await self._witness.recall()
        seen = await self._row.look()
        planned = await self._planning.planned()
        return Situation(
            finding=judge(
                seen.identity, seen.here, redis=recalled.memory, in_use=recalled.in_use, name=self._settings.cluster
            ),
            seen=seen,
            recalled=recalled,
            now=planned.now,
            due=tuple(await self._restored.due(planned.now)),
            planned_up_to=planned.complete,
        )

    async def known_as_accepted(self, at: datetime) -> int:
        """How many of those due Redis remembers as accepted: they are recorded as sent, and not sent again."""
        return sum([len(accepted) async for _, accepted in self._due(at)])

    async def settle(self, at: datetime, *, hold: bool) -> tuple[int, int]:
        """Record what was due at `at` and is known as accepted as sent: nodes would let expire what is too late, before
        they ask Redis. Plan what this database has not planned and hold the rest, if so wanted. Returns how many were
        recorded and held."""
        incarnation = await self._nodes.enter("doctor")
        try:
            if hold:
                await self._plan(incarnation)
            settled = held = 0
            async for page, accepted in self._due(at):
                settled += await self._restored.settle(sorted(accepted), incarnation=incarnation, reason=SETTLED)
                if hold:
                    ids = [message for message, _ in page if message not in accepted]
                    held += await self._restored.hold(ids, incarnation=incarnation, reason=HELD)
            return settled, held
        finally:
            await self._nodes.leave(incarnation)

    async def adopt(self, situation: Situation) -> UUID:
        """Give the database a new identity here, which the waiting nodes find at their next look."""
        memory = situation.recalled.memory
        identity = await self._row.adopt(above=memory.generation if memory else 0, name=self._settings.cluster)
        await self._witness.remember(identity)
        return identity.id

    async def _due(self, at: datetime) -> AsyncIterator[tuple[Sequence[tuple[UUID, date]], set[UUID]]]:
        """Pages of what is due, and those in it that Redis remembers as accepted."""
        after: UUID | None = None
        while page := await self._restored.page(at, after=after, limit=AT_ONCE):
            yield page, await self._accepted.accepted(page)
            after = page[-1][0]

    async def _plan(self, incarnation: int) -> None:
        """Do what the daily job and the planners would do, so that what was due since the backup has rows to hold."""
        rules = Rules(self._settings.send_at, self._settings.leap_day, tuple(await self._planning.occasions()))
        planned = await self._planning.planned()
        if planned.announced < (up_to := horizon(planned.now)):
            to_plan = days(rules, planned.announced, up_to)
            await self._planning.announce("daily", planned.now, incarnation=incarnation, up_to=up_to, days=to_plan)
        while ranges := await self._planning.open_ranges(older_than=0, limit=100):
            for one in ranges:
                await self._planning.plan(one, partial(instants, rules), tzdata=TZDATA_VERSION)
