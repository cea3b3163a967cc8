"""Adoption of a database that the nodes refuse, such as a restored backup.

Messages that are due in a restored database may have been sent after the backup was made. Those that Redis remembers as
accepted are recorded as sent. The others become `unknown` and wait for a person, unless the operator asks to send them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from actors.commands.principal import command_line
from service.adapters.postgres.cluster import PostgresCluster
from service.adapters.postgres.connection import Database
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.restored import DueNow, PostgresRestored
from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.cluster import RedisClusterWitness
from service.adapters.redis.connection import RedisClients
from service.domain.cluster import DatabaseCheck, judge
from service.domain.planning import CalendarDefaults, days_to_announce, horizon
from service.domain.zones import TZDATA_VERSION
from service.ports import Recalled, Seen
from service.settings import Settings

PAGE_SIZE = 2_000
"""Messages in one statement."""

HELD = "held: the database was restored, and it may have been sent after the backup"
"""The status reason of a held message."""

SETTLED = "accepted after the backup, according to Redis"
"""The status reason of a message that Redis remembers as accepted."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The identity of the database, its due messages, and the instant up to which it is planned."""

    finding: DatabaseCheck
    seen: Seen
    recalled: Recalled
    now: datetime
    due: tuple[DueNow, ...]
    planned_until: datetime

    @property
    def used_elsewhere(self) -> bool:
        """True while nodes use another database with this Redis."""
        return self.recalled.in_use not in {None, self.seen.here.database}


class Adoption:
    """Inspects and adopts one database. Every method raises Unavailable."""

    def __init__(self, settings: Settings, database: Database, redis: RedisClients) -> None:
        self._settings = settings
        self._row = PostgresCluster(database)
        self._nodes = PostgresNodes(database, tzdata=TZDATA_VERSION)
        defaults = CalendarDefaults(settings.send_at, settings.leap_day)
        self._planning = PostgresPlanning(database, defaults=defaults, late_limit=settings.late_limit)
        self._restored = PostgresRestored(database)
        self._witness = RedisClusterWitness(redis.commands)
        self._accepted = RedisAcceptedKeys(redis.commands, late_limit=settings.late_limit)

    async def look(self) -> Situation:
        """Read what a node would find now."""
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
            planned_until=planned.complete,
        )

    async def known_as_accepted(self, at: datetime) -> int:
        """Count the due messages that Redis remembers as accepted."""
        return sum([len(accepted) async for _, accepted in self._due(at)])

    async def settle(self, at: datetime, *, hold: bool) -> tuple[int, int]:
        """Record the accepted messages among those due at `at` as sent. With `hold`, plan what is missing and set the
        others to unknown. Returns how many were recorded and held.

        Nodes cannot do this: a message past its late limit expires before they ask Redis.
        """
        incarnation = await self._nodes.visit("doctor")
        if hold:
            await self._plan(incarnation)
        settled = held = 0
        async for page, accepted in self._due(at):
            settled += await self._restored.settle(sorted(accepted), incarnation=incarnation, reason=SETTLED)
            if hold:
                ids = [message for message, _ in page if message not in accepted]
                held += await self._restored.hold(ids, incarnation=incarnation, reason=HELD)
        return settled, held

    async def adopt(self, situation: Situation) -> UUID:
        """Give the database a new identity. Waiting nodes see it when they next check."""
        memory = situation.recalled.memory
        identity = await self._row.adopt(
            above=memory.generation if memory else 0, name=self._settings.cluster, by=command_line()
        )
        await self._witness.remember(identity)
        return identity.id

    async def _due(self, at: datetime) -> AsyncIterator[tuple[Sequence[tuple[UUID, date]], set[UUID]]]:
        """Yield pages of due messages, each with the ids that Redis remembers as accepted."""
        after: UUID | None = None
        while page := await self._restored.page(at, after=after, limit=PAGE_SIZE):
            yield page, await self._accepted.accepted([message for message, _ in page])
            after = page[-1][0]

    async def _plan(self, incarnation: int) -> None:
        """Plan as the daily job and the planners do, so that messages due since the backup have rows to hold."""
        rules = await self._planning.rules()
        planned = await self._planning.planned()
        if planned.announced < (up_to := horizon(planned.now)):
            to_plan = days_to_announce(rules, planned.announced, up_to)
            await self._planning.announce("daily", planned.now, incarnation=incarnation, up_to=up_to, days=to_plan)
        # They are read once: a range whose occasion or user has a fault stays open.
        for one in await self._planning.open_ranges(older_than=0, limit=None):
            await self._planning.plan(one, rules, tzdata=TZDATA_VERSION)
