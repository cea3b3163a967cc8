"""What a doctor asks PostgreSQL: the server, what this role may do, the years there are, the nodes, what waits."""

from __future__ import annotations

from dataclasses import dataclass

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load

_SQL = load("checkup.sql")


@dataclass(frozen=True, slots=True)
class Server:
    """The server and how it is set up; connections of everybody, and those of heyday."""

    version_number: int
    version: str
    standby: bool
    max_connections: int
    reserved: int
    connections: int
    ours: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    encoding: str


@dataclass(frozen=True, slots=True)
class LivingNode:
    """A node that has not ended, and for how many seconds it has not been heard."""

    incarnation: int
    node: str
    silent: float


@dataclass(frozen=True, slots=True)
class Work:
    """The ticker's fence (None: its row is gone), messages unknown, failed and not buried, overdue by 5 minutes."""

    fence: int | None
    unknown: int
    unburied: int
    overdue: int


class PostgresCheckup:
    """Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> Server:
        row = await self._database.row(_SQL.server)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Server(*row)

    async def lacks_privileges(self) -> list[str]:
        """Tables with which this role may not work."""
        return [row["relname"] for row in await self._database.fetch(_SQL.lacks_privileges)]

    async def may_make_years(self) -> bool:
        """Whether this role can make the partitions of a year to come."""
        return bool(await self._database.value(_SQL.may_make_years))

    async def years(self) -> tuple[int, list[int]]:
        """This year, and those for which messages and attempts have a place."""
        row = await self._database.row(_SQL.years)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return row["this_year"], list(row["years"])

    async def nodes(self) -> list[LivingNode]:
        """Those that have not ended."""
        return [LivingNode(*row) for row in await self._database.fetch(_SQL.nodes)]

    async def work(self) -> Work:
        """What waits."""
        row = await self._database.row(_SQL.work)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Work(*row)
