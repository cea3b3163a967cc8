"""What PostgreSQL holds, in memory: tables as dicts of rows that survive the death of every node.

There is no SQL here. Each port's fake makes the same moves as its adapter does, and each of its methods is one
transaction: it awaits nothing, so it happens at one instant, wholly or (when it raises) not at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.domain.messages import Outcome, Status
from service.ports import OccasionRow, PlanRange
from tests.fakes.rows import AttemptRow, KeptRow, MessageRow, NodeRow, UserRow, check

OCCASIONS = (
    OccasionRow("anniversary", "Hey, {full_name} it's your anniversary", None, None),
    OccasionRow("birthday", "Hey, {full_name} it's your birthday", None, None),
)
"""What a new database has."""


def counted_ids() -> Callable[[], UUID]:
    """Ids that grow, as those of the schema do, and are the same in every run."""
    numbers = itertools.count(1)
    return lambda: UUID(int=next(numbers) | 7 << 76 | 2 << 62)


class Truth:
    """The tables. `now` is business_now(), `real_now` is clock_timestamp(), `rate` is business_rate()."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        real_now: Callable[[], datetime] | None = None,
        rate: Callable[[], float] = lambda: 1.0,
        new_id: Callable[[], UUID] | None = None,
        occasions: tuple[OccasionRow, ...] = OCCASIONS,
    ) -> None:
        self.now = now
        self.real_now = real_now or now
        self.rate = rate
        self._new_id = new_id or counted_ids()
        year = now().year
        self.years = {year - 1, year, year + 1}
        self.occasions = {row.code: row for row in occasions}
        self.users: dict[UUID, UserRow] = {}
        self.messages: dict[UUID, MessageRow] = {}
        self.attempts: dict[tuple[UUID, int, Outcome], AttemptRow] = {}
        self.nodes: dict[int, NodeRow] = {}
        self.planned_up_to = now()
        self.followed_release = ""
        """The release of the zone data that every unsent message follows at least; empty: nothing was ever planned."""
        self.plan_ranges: dict[int, tuple[PlanRange, datetime]] = {}
        """By id: the range, and when it was announced by the real clock."""
        self.job_runs: dict[tuple[str, datetime], tuple[int, datetime]] = {}
        """By job and scheduled instant: the incarnation, and when it started."""
        self.fences = {"ticker": 0}
        self.idempotency_keys: dict[bytes, KeptRow] = {}
        self.next_incarnation = itertools.count(1)
        self.next_range = itertools.count(1)

    def business(self, seconds: float) -> timedelta:
        """So many seconds of real time, in business time."""
        return timedelta(seconds=seconds * self.rate())

    # --- users -------------------------------------------------------------------------------------------------

    def put_user(self, row: UserRow) -> UserRow:
        """Insert a user, or replace the row of that id."""
        self.users[row.id] = row
        return row

    def new_user_id(self) -> UUID:
        """An id that nobody has."""
        return self._new_id()

    def user(self, user_id: UUID) -> UserRow | None:
        """A user who is not deleted."""
        row = self.users.get(user_id)
        return row if row is not None and row.deleted_at is None else None

    def has_address(self, email_key: str, *, but: UUID | None = None) -> bool:
        """Whether a user who is not deleted, other than `but`, has this address."""
        return any(
            row.email_key == email_key and row.deleted_at is None and row.id != but for row in self.users.values()
        )

    # --- messages ----------------------------------------------------------------------------------------------

    def in_state(self, *statuses: Status) -> Iterator[MessageRow]:
        """The messages in one of these states, in the order of their ids."""
        return (row for row in sorted(self.messages.values(), key=lambda row: row.id) if row.status in statuses)

    def named(self, ids: Iterable[UUID], *statuses: Status) -> Iterator[MessageRow]:
        """Those with one of these ids, in one of these states, in the order of their ids."""
        wanted = frozenset(ids)
        return (row for row in self.in_state(*statuses) if row.id in wanted)

    def find(self, user_id: UUID, occasion: str, local_year: int) -> MessageRow | None:
        """The one message of a user, occasion and local year."""
        for row in self.messages.values():
            if (row.user_id, row.occasion, row.local_year) == (user_id, occasion, local_year):
                return row
        return None

    def insert_message(
        self, user: UserRow, occasion: str, local_year: int, send_at: datetime, *, due_at: datetime, tzdata: str
    ) -> bool:
        """Make a scheduled message; False, and nothing happens, when there is one (messages_once)."""
        check("no partition of that year", holds=local_year in self.years)
        if self.find(user.id, occasion, local_year) is not None:
            return False
        row = MessageRow(
            id=self._new_id(),
            user_id=user.id,
            occasion=occasion,
            local_year=local_year,
            timezone=user.profile.timezone,
            send_at=send_at,
            due_at=due_at,
            tzdata=tzdata,
            planned_at=self.now(),
        )
        self.messages[row.id] = row
        return True

    def move(self, row: MessageRow, **changes: Any) -> MessageRow:
        """Replace columns of a message. Raises Violation."""
        moved = self.messages[row.id] = replace(row, **changes)
        return moved

    def log_attempt(self, row: AttemptRow) -> None:
        """Append an attempt; one of the same message, number and outcome stays as it is."""
        self.attempts.setdefault((row.message_id, row.number, row.outcome), row)

    # --- planning ----------------------------------------------------------------------------------------------

    def add_range(self, window: PlanRange) -> int:
        """Write down a range still to plan; its id."""
        number = next(self.next_range)
        self.plan_ranges[number] = (window, self.real_now())
        return number

    # --- nodes -------------------------------------------------------------------------------------------------

    def lives(self, incarnation: int | None) -> bool:
        """Whether nobody has ended that incarnation."""
        row = self.nodes.get(incarnation or 0)
        return row is not None and not row.ended
