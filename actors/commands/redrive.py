"""`heyday redrive`: sends again what failed, is unknown or has expired, by the rules of the API's redrive."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from uuid import UUID

from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.messages import PostgresMessages
from service.domain.messages import REDRIVABLE, Status
from service.ports import Message, MessageFilter, Unavailable
from service.redrive import redrive_all
from service.settings import Secret, read_database_url

OK = 0
FAILED = 1
WRONG = 2

PAGE = 500
"""Messages of one page of a listing."""


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Redrive, or with --dry-run list, and return the exit code. Raises BadConfiguration."""
    if bool(args.ids) == bool(args.status):
        print("heyday: redrive: expected ids of messages, or --status, and not both", file=sys.stderr)  # noqa: T201
        return WRONG
    try:
        return asyncio.run(_run(args, read_database_url(environment)))
    except Unavailable as error:
        print(f"heyday: {error}", file=sys.stderr)  # noqa: T201
        return FAILED


async def _run(args: argparse.Namespace, dsn: Secret) -> int:
    database = Database(dsn, size=1)
    await database.open()
    try:
        redrive = Redrive(PostgresMessages(database), PostgresHistory(database), dry_run=args.dry_run)
        if args.ids:
            return OK if await redrive.some(args.ids) else FAILED
        await redrive.all_of(MessageFilter(None, Status(args.status), args.occasion, args.starts_at, args.ends_at))
        return OK
    finally:
        await database.close()


class Redrive:
    """What one call of the command does. Every method raises Unavailable."""

    def __init__(self, messages: PostgresMessages, history: PostgresHistory, *, dry_run: bool) -> None:
        self._messages = messages
        self._history = history
        self._dry_run = dry_run

    async def some(self, ids: Sequence[UUID]) -> bool:
        """Those messages; False when one of them cannot be redriven."""
        done = True
        for one in ids:
            said, can = await self._some(one)
            done = done and can
            _say(said)
        return done

    async def _some(self, message_id: UUID) -> tuple[str, bool]:
        timeline = await self._history.timeline(message_id)
        if timeline is None:
            return f"{message_id}: there is no such message", False
        if not timeline.has_user:
            return f"{message_id}: its user is deleted, nobody is there to greet", False
        if timeline.message.status not in REDRIVABLE:
            return f"{message_id}: it is {timeline.message.status}, and only {_names()} can be redriven", False
        if self._dry_run:
            return _line(timeline.message), True
        if not await self._messages.redrive([message_id]):
            return f"{message_id}: it has just been moved by somebody else", False
        return f"{message_id}: redriven", True

    async def all_of(self, wanted: MessageFilter) -> None:
        """All that fit."""
        matched = await self._history.count_redrivable(wanted)
        if not self._dry_run:
            redriven = await redrive_all(self._messages, self._history, wanted)
            _say(f"{redriven} of {matched} messages redriven: they are due now.")
            return
        listed = await self._list(wanted)
        _say(f"{matched} messages would be redriven. Nothing was changed: this was a dry run.")
        if listed > matched:
            _say(f"{listed - matched} of those listed are of deleted users, and stay.")

    async def _list(self, wanted: MessageFilter) -> int:
        listed = 0
        after: UUID | None = None
        while page := await self._history.page(wanted, after=after, limit=PAGE):
            for message in page:
                _say(_line(message))
            listed += len(page)
            after = page[-1].id
        return listed


def _line(message: Message) -> str:
    due = message.send_at.isoformat(timespec="seconds")
    return (
        f"{message.id}  {message.status:<7}  {message.occasion}  {due}  {message.attempts} attempts  {message.reason}"
    )


def _names() -> str:
    return ", ".join(sorted(REDRIVABLE))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
