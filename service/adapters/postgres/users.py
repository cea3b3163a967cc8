"""Users and their days. A change also changes the user's messages, in the same transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import asyncpg
import orjson

from service.adapters.batching import Batcher
from service.adapters.postgres import audit
from service.adapters.postgres.connection import Database, server_sentence
from service.adapters.postgres.idempotency import RESERVATION_TIMEOUT
from service.adapters.postgres.queries import load
from service.adapters.postgres.set_aside import ROW_FAULTS, run_in_halves
from service.domain.dates import MonthDay, parse_day, stored_date
from service.domain.planning import DesiredMessage
from service.domain.users import Profile, User, email_key
from service.ports import (
    AuditAction,
    Created,
    EmailTaken,
    ExternalIdTaken,
    IdempotencyKey,
    Principal,
    ReservationLost,
    RowRefused,
    RulesChanged,
    UserChanged,
    UserNotFound,
)

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

T = TypeVar("T")

_SQL = load("users.sql")
_SUPPRESSIONS = load("suppressions.sql")
_PLANNING = load("planning.sql")

RULES_CHANGED = "HD001"
"""The SQLSTATE with which planning_fence_for refuses instants by rules that have changed."""

_ONE_ADDRESS = "users_email_key"
"""The constraint that keeps addresses unique among users not deleted."""

_ONE_KEY = "users_external_id"
"""The constraint that keeps external ids unique."""

MOST_AT_ONCE = 64
"""Users created or read by one statement for concurrent requests."""

PAST_MARGIN = timedelta(minutes=1)
"""`create_many` leaves out the greetings that were due longer ago than this by the caller's clock."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

ROUNDS = 2
"""Such statements at the same time. While the server commits one, it can work on another."""


@contextmanager
def _refusing_rows() -> Iterator[None]:
    """Translate the database's refusal of a single row. Raises EmailTaken, ExternalIdTaken, RowRefused."""
    try:
        yield
    except ROW_FAULTS as error:
        if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == _ONE_ADDRESS:
            raise EmailTaken from error
        if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == _ONE_KEY:
            raise ExternalIdTaken from error
        raise RowRefused(server_sentence(error)) from error


@dataclass(frozen=True, slots=True)
class _NewUser:
    profile: Profile
    desired: list[DesiredMessage]
    id: UUID | None = None
    key: IdempotencyKey | None = None


class PostgresUsers:
    """Implements `service.ports.Users`. `tzdata` is the version that instants are computed with."""

    def __init__(self, database: Database, *, late_limit: timedelta, tzdata: str) -> None:
        self._database = database
        self._late_limit = late_limit
        self._tzdata = tzdata
        self._creating = Batcher(self._create, system="postgres", most=MOST_AT_ONCE, at_once=ROUNDS)
        self._creating_under_keys = Batcher(
            partial(self._create, query=_SQL.create_users_under_keys, more=(RESERVATION_TIMEOUT,)),
            system="postgres",
            most=MOST_AT_ONCE,
            at_once=ROUNDS,
        )
        self._reading = Batcher(self._read, system="postgres", most=MOST_AT_ONCE, at_once=ROUNDS)

    async def create(
        self, profile: Profile, desired: list[DesiredMessage], *, key: IdempotencyKey | None = None
    ) -> User:
        with _refusing_rows():
            creating = self._creating if key is None else self._creating_under_keys
            row = await creating(_NewUser(profile, desired, key=key))
        if row["in_use"]:
            raise ReservationLost
        if row["id"] is None:
            raise ExternalIdTaken if await self._taken_keys([profile]) else EmailTaken
        return User(row["id"], profile, row["version"], row["created_at"], row["updated_at"])

    async def new_ids(self, count: int) -> list[UUID]:
        return [row["id"] for row in await self._database.fetch(_SQL.new_ids, count)]

    async def create_many(
        self,
        rows: Sequence[tuple[Profile, list[DesiredMessage]]],
        *,
        ids: Sequence[UUID] | None = None,
        again: bool = False,
        now: datetime | None = None,
    ) -> list[Created]:
        since = _LONG_AGO if now is None else now - PAST_MARGIN
        given: Sequence[UUID | None] = ids or [None] * len(rows)
        new = [_NewUser(profile, desired, id_) for (profile, desired), id_ in zip(rows, given, strict=True)]
        made: list[Created] = [None] * len(new)

        async def create(lines: Sequence[int]) -> list[None]:
            for line, row in zip(lines, await self._create([new[line] for line in lines], since=since), strict=True):
                made[line] = row["id"]
            return []

        async def refuse(line: int, error: Exception) -> None:
            made[line] = RowRefused(server_sentence(error))

        # Of two rows with one key the first wins, so the second waits for it. A statement stores rows in the order of
        # their addresses.
        waiting = list(range(len(new)))
        while waiting:
            turn, waiting = _one_of_each_key(new, waiting, made)
            await run_in_halves(turn, create, refuse)
        if again and None in made:
            stored = {row["id"] for row in await self._database.fetch(_SQL.existing_ids, list(given))}
            made = [id_ if id_ in stored else one for one, id_ in zip(made, given, strict=True)]
        if taken := await self._taken_keys([row.profile for row, one in zip(new, made, strict=True) if one is None]):
            return [
                ExternalIdTaken() if one is None and row.profile.external_id in taken else one
                for row, one in zip(new, made, strict=True)
            ]
        return made

    async def _taken_keys(self, profiles: Sequence[Profile]) -> set[str]:
        """Return the external ids of these unstored profiles that other users have."""
        keys = [profile.external_id for profile in profiles if profile.external_id is not None]
        return {row["external_id"] for row in await self._database.fetch(_SQL.taken_keys, keys)} if keys else set()

    async def _create(
        self,
        rows: Sequence[_NewUser],
        query: str = _SQL.create_users,
        more: Sequence[object] = (),
        since: datetime = _LONG_AGO,
    ) -> list[asyncpg.Record]:
        """Return one row for each. Its id is null for a taken address, and if its key is `in_use`.

        Instants before `since` are left out. If the database's clock is not there yet, it creates nothing, and is asked
        again with all of them.
        """
        lines = range(len(rows))
        days = [(line, *day) for line in lines for day in rows[line].profile.dates.items()]
        instants = [
            (line, w) for line in lines for w in rows[line].desired if w.send_at is not None and w.send_at >= since
        ]
        version = _rules_version(row.desired for row in rows)
        with _translating_rules():
            found = await self._database.fetch(
                query,
                *map(_column, zip(*(_columns(row.profile) for row in rows), strict=True)),
                list(lines),
                [line for line, _, _ in days],
                [occasion for _, occasion, _ in days],
                [stored_date(day) for _, _, day in days],
                [line for line, _ in instants],
                *_arrays([w for _, w in instants]),
                self._tzdata,
                [row.id for row in rows],
                version,
                _column([row.profile.external_id for row in rows]),
                _column([row.profile.locale for row in rows]),
                [not isinstance(day, MonthDay) for _, _, day in days],
                _column([row.key and row.key.key for row in rows]),
                _column([row.key and row.key.fingerprint for row in rows]),
                since,
                *more,
            )
        if rows and not found:
            return await self._create(rows, query, more)
        return sorted(found, key=lambda row: int(row["line"]))

    async def get(self, user_id: UUID) -> User | None:
        row = await self._reading(user_id)
        return None if row is None else user_of(row)

    async def _read(self, user_ids: Sequence[UUID]) -> list[asyncpg.Record | None]:
        found = {row["id"]: row for row in await self._database.fetch(_SQL.get_users, user_ids)}
        return [found.get(user_id) for user_id in user_ids]

    async def match(self, wanted: Sequence[tuple[str | None, str]]) -> list[User | None]:
        keys, addresses = [key for key, _ in wanted], [email_key(address) for _, address in wanted]
        rows = await self._database.fetch(_SQL.match_users, keys, addresses)
        found = {row["line"]: user_of(row) for row in rows}
        return [found.get(line) for line in range(1, len(wanted) + 1)]

    @asynccontextmanager
    async def editing(self, user_id: UUID, *, version: int | None) -> AsyncIterator[_Edit]:
        async with self.editing_many([user_id]) as editing:
            user = editing.users.get(user_id)
            if user is None:
                raise UserNotFound
            if version not in (None, user.version):
                raise UserChanged(user.version)
            yield _Edit(editing, user)

    @asynccontextmanager
    async def editing_many(self, user_ids: Sequence[UUID]) -> AsyncIterator[_Edits]:
        with _refusing_rows():
            async with self._database.transaction() as connection:
                locked = await connection.fetch(_SQL.lock_users, user_ids)
                ids = [row["id"] for row in locked]
                found = await connection.fetch(_SQL.get_users, ids) if ids else []
                users = {row["id"]: user_of(row) for row in found}
                # Without a user the instant is not asked for.
                now = locked[0]["now"] if locked else _LONG_AGO
                yield _Edits(connection, users, now, late_limit=self._late_limit, tzdata=self._tzdata)

    async def delete(self, user_id: UUID, *, version: int | None, by: Principal, erase: bool = False) -> bool:
        with _refusing_rows():
            return await self._delete(user_id, version, by, erase=erase)

    async def _delete(self, user_id: UUID, version: int | None, by: Principal, *, erase: bool) -> bool:
        async with self._database.transaction() as connection:
            if erase:
                await connection.execute(_SUPPRESSIONS.erase_alone)
            row = await connection.fetchrow(_SQL.lock_user_or_deleted if erase else _SQL.lock_user, user_id)
            if row is None:
                return False
            if version not in (None, row["version"]):
                raise UserChanged(row["version"])
            await connection.execute(_SQL.delete_user, user_id)
            await connection.execute(_PLANNING.cancel_user, user_id)
            if erase:
                await connection.execute(_SQL.drop_all_dates, user_id)
                suppressions = await connection.fetch(_SUPPRESSIONS.forget_address, user_id)
                await connection.execute(_SQL.erase_user, user_id)
                shown = [f"/api/v1/suppressions/{row['id']}" for row in suppressions]
                await connection.execute(_SQL.forget_responses, [f"/api/v1/users/{user_id}", *shown])
            action = AuditAction.USER_ERASED if erase else AuditAction.USER_DELETED
            await audit.record(connection, by, action, [user_id])
            return True


def _one_of_each_key(
    rows: Sequence[_NewUser], waiting: Sequence[int], made: Sequence[Created]
) -> tuple[list[int], list[int]]:
    """Split the waiting rows: those to store next, and those that wait on. One with a stored key is left out."""
    stored = {row.profile.external_id for row, one in zip(rows, made, strict=True) if isinstance(one, UUID)} - {None}
    turn: list[int] = []
    later: list[int] = []
    keys: set[str | None] = set()
    for line in waiting:
        key = rows[line].profile.external_id
        if key not in stored:
            (later if key in keys else turn).append(line)
            keys |= {key} - {None}
    return turn, later


class _Edits:
    """Implements `service.ports.UserEdits`."""

    def __init__(
        self,
        connection: Connection,
        users: dict[UUID, User],
        now: datetime,
        *,
        late_limit: timedelta,
        tzdata: str,
    ) -> None:
        self.users = users
        self.now = now
        self._connection = connection
        self._late_limit = late_limit
        self._tzdata = tzdata

    async def store(self, changes: Sequence[tuple[UUID, Profile, list[DesiredMessage]]]) -> None:
        await self.stored(changes)

    async def stored(self, changes: Sequence[tuple[UUID, Profile, list[DesiredMessage]]]) -> list[User]:
        """As `store`; the users after the changes."""
        connection = self._connection
        ids = [user_id for user_id, _, _ in changes]
        profiles = {user_id: profile for user_id, profile, _ in changes}
        desired = [(user_id, one) for user_id, _, of_user in changes for one in of_user]
        if desired:
            # As in a creation, before a new date locks its occasion: see lock_planning.
            with _translating_rules():
                await connection.fetchval(_PLANNING.fence_for, _rules_version(of_user for _, _, of_user in changes))
        rows = await connection.fetch(
            _SQL.update_users,
            ids,
            *zip(*(_columns(profile) for profile in profiles.values()), strict=True),
            [profile.external_id for profile in profiles.values()],
            [profile.locale for profile in profiles.values()],
        )
        days = [(user_id, *day) for user_id, profile in profiles.items() for day in profile.dates.items()]
        kept = [user_id for user_id, _, _ in days], [occasion for _, occasion, _ in days]
        await connection.execute(_SQL.drop_dates, ids, *kept)
        dates = [stored_date(day) for _, _, day in days]
        await connection.execute(_SQL.put_dates, *kept, dates, [not isinstance(day, MonthDay) for _, _, day in days])
        if desired:
            owners, arrays = [user_id for user_id, _ in desired], _arrays([one for _, one in desired])
            await connection.execute(_PLANNING.plan_users, owners, *arrays, self._late_limit, self._tzdata)
        return [
            User(row["id"], profiles[row["id"]], row["version"], row["created_at"], row["updated_at"]) for row in rows
        ]


class _Edit:
    """Implements `service.ports.UserEdit`."""

    def __init__(self, editing: _Edits, user: User) -> None:
        self.user = user
        self.now = editing.now
        self._editing = editing

    async def store(self, profile: Profile, desired: list[DesiredMessage]) -> User:
        (user,) = await self._editing.stored([(self.user.id, profile, desired)])
        return user


def _rules_version(desired: Iterable[Sequence[DesiredMessage]]) -> int | None:
    """The version of the rules that computed these instants. Raises RulesChanged when there are several."""
    versions = {one.rules_version for of_user in desired for one in of_user} - {None}
    if len(versions) > 1:
        raise RulesChanged
    return next(iter(versions), None)


@contextmanager
def _translating_rules() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != RULES_CHANGED:
            raise
        raise RulesChanged from error


def _columns(profile: Profile) -> tuple[str | None, ...]:
    return (
        profile.first_name,
        profile.last_name or "",
        profile.email,
        email_key(profile.email),
        profile.timezone,
        profile.location_city,
        profile.location_country,
    )


def _column(values: Sequence[T]) -> Sequence[T]:
    """The values for an `unnest` of several arrays, which fills up with nulls: nothing when all of them are null."""
    return values if any(value is not None for value in values) else ()


def _arrays(desired: list[DesiredMessage]) -> tuple[list[str], list[int], list[datetime | None]]:
    return [w.occasion for w in desired], [w.local_year for w in desired], [w.send_at for w in desired]


def user_of(row: asyncpg.Record) -> User:
    """The user of a row with its dates as JSON."""
    dates = {occasion: parse_day(day) for occasion, day in orjson.loads(row["dates"]).items()}
    profile = Profile(
        row["first_name"],
        row["last_name"] or None,
        row["email"],
        row["timezone"],
        dates,
        row["location_city"],
        row["location_country"],
        row["external_id"],
        row["locale"],
    )
    return User(row["id"], profile, row["version"], row["created_at"], row["updated_at"])
