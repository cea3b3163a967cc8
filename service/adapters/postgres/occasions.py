"""Occasions: read by the API and the command line, and written under their versions."""

from __future__ import annotations

import asyncpg
import orjson

from service.adapters.postgres import audit
from service.adapters.postgres.connection import Database, server_sentence
from service.adapters.postgres.queries import load
from service.adapters.postgres.set_aside import ROW_FAULTS
from service.domain.calendar import LeapDay, Weekend
from service.domain.occasions import MOST_OCCASIONS, Occasion, default_text, texts_of, time_of_day
from service.domain.texts import Text
from service.ports import (
    AuditAction,
    OccasionChanged,
    OccasionEntry,
    OccasionInUse,
    Principal,
    RowRefused,
    TooManyOccasions,
)

_SQL = load("occasions.sql")
_PLANNING = load("planning.sql")


class PostgresOccasions:
    """Implements `service.ports.Occasions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[OccasionEntry]:
        entries = [_understood(row) for row in await self._database.fetch(_SQL.all)]
        return [entry for entry in entries if entry is not None]

    async def get(self, code: str) -> OccasionEntry | None:
        row = await self._database.row(_SQL.get, code)
        return None if row is None else _understood(row)

    async def put(
        self, occasion: Occasion, *, version: int | None = None, create_only: bool = False, by: Principal
    ) -> tuple[OccasionEntry, bool]:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_SQL.wait_for_writers)
                before = await connection.fetchrow(_SQL.lock, occasion.code)
                _require(version, before)
                if create_only and before is not None:
                    raise OccasionChanged(before["version"])
                if before is None and await connection.fetchval(_SQL.count) >= MOST_OCCASIONS:
                    raise TooManyOccasions
                statement = _SQL.create if before is None else _SQL.change
                row = await connection.fetchrow(statement, *_columns(occasion))
                assert row is not None  # noqa: S101 - both statements return the row
                if before is None:
                    await audit.record(connection, by, AuditAction.OCCASION_CREATED, [occasion.code])
                elif row["version"] != before["version"]:
                    await audit.record(connection, by, AuditAction.OCCASION_CHANGED, [occasion.code])
        except ROW_FAULTS as error:
            raise RowRefused(server_sentence(error)) from error
        return _entry(row), before is None

    async def delete(self, code: str, *, version: int | None = None, by: Principal) -> bool:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_SQL.wait_for_writers)
                await connection.execute(_PLANNING.rules_lock)
                await connection.execute(_PLANNING.lock_planning)
                before = await connection.fetchrow(_SQL.lock, code)
                if before is None:
                    return False
                _require(version, before)
                if await connection.fetchval(_SQL.has_dates, code):
                    raise OccasionInUse
                await connection.execute(_SQL.drop_ranges, code)
                await connection.execute(_SQL.delete, code)
                # Last: no date can be written by now, and so no message can be made.
                await connection.execute(_SQL.use_summaries)
                if await connection.fetchval(_SQL.has_messages, code):
                    raise OccasionInUse
                await audit.record(connection, by, AuditAction.OCCASION_DELETED, [code])
        except asyncpg.ForeignKeyViolationError as error:  # a date that was written meanwhile
            raise OccasionInUse from error
        return True


def _require(version: int | None, row: asyncpg.Record | None) -> None:
    if version is not None and (row is None or row["version"] != version):
        raise OccasionChanged(None if row is None else row["version"])


def _columns(occasion: Occasion) -> tuple[object, ...]:
    default = occasion.default
    # The column `template` never contains {years}: see schema/0017_occasion_rules.sql.
    with_years = None if default.without_years is None else default.text
    return (
        occasion.code,
        default.subject,
        default.template(None),
        with_years,
        orjson.dumps({tag: text_document(text) for tag, text in occasion.texts.items()}).decode(),
        occasion.send_at,
        occasion.leap_day,
        occasion.weekend,
        occasion.offset_days,
        occasion.active,
    )


def text_document(text: Text) -> dict[str, str | None]:
    """A text as the column `texts` stores it, which is also its JSON."""
    return {"subject": text.subject, "text": text.text, "textWithoutYears": text.without_years}


def _understood(row: asyncpg.Record) -> OccasionEntry | None:
    """None for what a database without its trigger, or of a later version, can hold: planning names it as a problem."""
    try:
        return _entry(row)
    except ValueError:  # InvalidOccasion, or a rule that has no name here
        return None


def _entry(row: asyncpg.Record) -> OccasionEntry:
    occasion = Occasion(
        row["code"],
        default_text(row["subject"], row["template"], row["template_with_years"]),
        texts_of(row["texts"]),
        time_of_day(row["send_at"]),
        LeapDay(row["leap_day"]) if row["leap_day"] else None,
        Weekend(row["weekend"]),
        row["offset_days"],
        row["active"],
    )
    return OccasionEntry(
        occasion, row["version"], row["text_version"], row["active_since"], row["created_at"], row["updated_at"]
    )
