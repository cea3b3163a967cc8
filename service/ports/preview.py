"""The input of a preview: users' days with their messages, and the numbers still to be planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.domain.dates import OccasionDate
from service.domain.planning import OccasionDay
from service.domain.recipients import Recipient
from service.ports.history import Message
from service.ports.planning import Planned


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user who has an occasion's day, or a message for it: all that is stored about the two.

    `send_at` is the instant that the calendar gives for the user as they are now, None where it was not asked;
    `to_plan`: a range that is announced and not planned yet has them.
    `suppressed`: why nothing may be written to the address, the reason of a suppression or `only_to`.
    `is_first_year`: the date itself lies in the local year, so its first occurrence is the next. `inactive`: the
    occasion is not active, or was not at `send_at`.
    """

    user_id: UUID
    occasion: str
    local_year: int
    timezone: str
    created_at: datetime
    deleted_at: datetime | None
    send_at: datetime | None
    message: Message | None
    to_plan: bool
    is_first_year: bool = False
    suppressed: str | None = None
    inactive: bool = False


@dataclass(frozen=True, slots=True)
class PersonalDay:
    """One user's occasion in one local year: the date they have, the message, the windows still to be planned."""

    occasion: str
    local_year: int
    date: OccasionDate | None
    message: Message | None
    to_plan: tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class Person:
    """One user, deleted ones too, with their days in the years asked for, ordered by year and occasion."""

    user_id: UUID
    timezone: str
    created_at: datetime
    deleted_at: datetime | None
    days: tuple[PersonalDay, ...]
    suppressed: str | None = None


@dataclass(frozen=True, slots=True)
class Windows:
    """The part of a window that is looked at, and the whole of it, of which each message is shown once."""

    starts_at: datetime
    ends_at: datetime
    whole_starts_at: datetime
    whole_ends_at: datetime


@dataclass(frozen=True, slots=True)
class Load:
    """The messages that are on their way or due now, and those that leave later, counted by instant and occasion.

    `to_plan` has what planning will still make, by the instant; `planned` what it has made, by the minute it is due.
    """

    at: Planned
    due: int
    queued: int
    sending: int
    planned: Mapping[tuple[datetime, str], int]
    to_plan: Mapping[tuple[datetime, str], int]


class Previews(Protocol):
    """Reads for previews and forecasts. Every method raises Unavailable."""

    async def days_with_users(self, days: Sequence[OccasionDay]) -> list[OccasionDay]:
        """The days that at least one user has, in the given order. Deleted users count."""

    async def of_day(
        self,
        day: OccasionDay,
        instants: Mapping[str, datetime],
        windows: Windows,
        *,
        deleted: bool,
        after: UUID | None,
        limit: int,
    ) -> list[Candidate]:
        """Users who have that day in one of these zones, in the order of their ids.

        Left out are those whose message lies in another part of the whole window, and, unless `deleted`, deleted
        users who have no message in this part.
        """

    async def orphaned(
        self,
        windows: Windows,
        instants: Mapping[OccasionDay, Mapping[str, datetime]],
        *,
        years: Sequence[int],
        occasion: str | None,
        after: UUID | None,
        limit: int,
    ) -> list[Candidate]:
        """Messages of this part whose users do not, or no longer, have a day in it, in the order of their ids.

        `instants` has every day of a user with an instant in this part; `years` every local year that a message in it
        can be of.
        """

    async def person(self, user_id: UUID, years: Sequence[int]) -> Person | None:
        """One user's days in those local years, or None if there never was such a user."""

    async def recipients(self, wanted: Sequence[tuple[UUID, str, int | None]]) -> list[Recipient | None]:
        """For each user, occasion and local year the recipient and text now. None for an erased user."""

    async def user_of(self, email: str) -> UUID | None:
        """The user, not deleted, who has this address."""

    async def load(
        self,
        until: Callable[[Planned], datetime],
        days: Callable[[Planned], Sequence[OccasionDay]],
        instants: Callable[[Planned, OccasionDay], Mapping[str, datetime]],
    ) -> Load:
        """Count what leaves up to `until`, as of one moment.

        `days` may still have to be planned, for their `instants`, which are asked for only where users have the day.
        """
