"""The business clock of the demo: it runs fast, stops with the demo, and never goes backwards.

A row keeps a lower limit for it, some seconds ahead. After a kill, the next demo starts a little later than the last
one stopped, and never earlier.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from actors.commands.sandbox.servers.clock import run_clock
from service.adapters.postgres.connection import Database

AHEAD = 2.0
"""Seconds of real time by which the row is ahead. It is more than the time between two reads."""

BEGIN_AT = timedelta(hours=18, minutes=15)
"""Time in UTC at which the first day begins: 45 minutes before 09:00 in Kiritimati, the first city of every day."""

_PREPARE = """
create schema if not exists demo;
create table if not exists demo.clock (
    only_row   boolean primary key default true check (only_row),
    not_before timestamptz not null
)
"""

# If the system did not end the servers of a killed demo, its clock ran on until the last heartbeat of its node.
_LAST = """
select greatest(
    (select not_before from demo.clock),
    business_now() - (statement_timestamp() - (select max(heartbeat_at) from nodes)) * business_rate())
"""

_KEEP = """
insert into demo.clock (not_before) values (business_now() + make_interval(secs => $1 * business_rate()))
on conflict (only_row) do update set not_before = excluded.not_before
returning business_now() as now, statement_timestamp() as real_now, business_rate() as rate
"""


class DemoClock:
    """Business time between two reads, and at an instant of real time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = datetime.min.replace(tzinfo=UTC)
        self._real_now = self._now
        self._read_at = 0.0
        self.rate = 1.0

    @property
    def now(self) -> datetime:
        """Business time, computed from the last read."""
        return self._now + timedelta(seconds=(time.monotonic() - self._read_at) * self.rate)

    def at(self, milliseconds: int) -> datetime:
        """Business time at an instant of real time, in ms since the epoch, since the clock was last set."""
        return self._now + (datetime.fromtimestamp(milliseconds / 1000, UTC) - self._real_now) * self.rate

    async def resume(self) -> bool:
        """Continue from where it stopped, at normal speed. True at the first start. Raises Unavailable."""
        async with self._database.connection() as connection:
            await connection.execute(_PREPARE)
        last: datetime | None = await self._database.value(_LAST)
        await self._set(last or _first_instant(datetime.now(UTC)), rate=1.0)
        return last is None

    async def run(self, rate: float) -> None:
        """Run this many times as fast as a real clock from now on. Raises Unavailable."""
        await self.read()
        await self._set(self.now, rate=rate)

    async def stop(self) -> None:
        """Stop until it is resumed. Raises Unavailable."""
        await self.run(0.0)

    async def read(self) -> None:
        """Read the clock. Raises Unavailable."""
        row = await self._database.row(_KEEP, AHEAD)
        assert row is not None  # noqa: S101 - the statement returns one row
        self._now, self._real_now, self.rate = row["now"], row["real_now"], row["rate"]
        self._read_at = time.monotonic()

    async def _set(self, at: datetime, *, rate: float) -> None:
        async with self._database.connection() as connection:
            await run_clock(connection, at=at, rate=rate)
        await self.read()


def _first_instant(now: datetime) -> datetime:
    """The latest past instant at BEGIN_AT."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0) + BEGIN_AT
    return today if today <= now else today - timedelta(days=1)
