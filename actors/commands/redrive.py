"""`heyday redrive`: sends failed, unknown or expired messages again, by the same rules as the API."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from actors.commands.arguments import id_or_address, identifier, instant, refuse_reversed, user_id
from actors.commands.errors import CommandFailed, WrongUsage, WrongValue
from actors.commands.exit_codes import FAILED, OK
from actors.commands.output import OutputFailed, counted, discard_output
from actors.commands.principal import command_line
from actors.commands.progress import Progress
from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.planning import LATE_LIMIT
from service.adapters.postgres.preview import PostgresPreviews
from service.api.http.json_text import encode
from service.api.representations.messages import MessageAnswer
from service.domain.messages import REDRIVABLE, Status
from service.ports import Message, MessageFilter
from service.redrive import redrive_all
from service.settings import Secret, read_database_url

PAGE_SIZE = 500
"""Messages of a listing in memory at a time."""

MAX_REASONS = 100
"""Reasons of a dry run. The rarest of more are left out."""

BATCH_SIZE = 2_000
"""Messages after which progress is shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("ids", metavar="ID", nargs="*", type=identifier, help="ids of messages")
    parser.add_argument(
        "--status",
        dest="statuses",
        action="append",
        choices=sorted(status.value for status in REDRIVABLE),
        help="all messages with this status, instead of ids; may be given more than once",
    )
    parser.add_argument(
        "--user", type=id_or_address, help="with --status: only this user's, by the id or the email address"
    )
    parser.add_argument("--occasion", metavar="CODE", help="with --status: only this occasion")
    parser.add_argument(
        "--from", dest="starts_at", metavar="INSTANT", type=instant, help="with --status: at or after INSTANT"
    )
    parser.add_argument("--to", dest="ends_at", metavar="INSTANT", type=instant, help="with --status: before INSTANT")
    parser.add_argument(
        "--dry-run", action="store_true", help="with --status: count the messages by reason, change nothing"
    )
    parser.add_argument("--list", action="store_true", help="with --dry-run: list each message instead")
    parser.add_argument("--json", action="store_true", help="write lines of JSON")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Redrive, or list with --dry-run, and return the exit code. Raises BadConfiguration, WrongUsage, Unavailable."""
    if bool(args.ids) == bool(args.statuses):
        raise WrongUsage("expected either ids of messages or --status")
    filters = {"--user": args.user, "--occasion": args.occasion, "--from": args.starts_at, "--to": args.ends_at}
    if args.ids and (given := [name for name, value in filters.items() if value is not None]):
        raise WrongUsage(f"{given[0]}: expected --status instead of ids")
    if args.list and not args.dry_run:
        raise WrongUsage("expected --dry-run with --list")
    refuse_reversed(args)
    return asyncio.run(_run(args, read_database_url(environment)))


async def _run(args: argparse.Namespace, dsn: Secret) -> int:
    database = Database(dsn, size=1)
    await database.open()
    try:
        messages, history = PostgresMessages(database), PostgresHistory(database)
        redrive = Redrive(messages, history, dry_run=args.dry_run, each=args.list, as_json=args.json)
        if args.ids:
            return OK if await redrive.redrive_each(args.ids) else FAILED
        codes = [entry.occasion.code for entry in await PostgresOccasions(database).all()]
        if args.occasion not in (None, *codes):
            raise WrongValue(f"--occasion: expected one of {', '.join(codes)}, not {args.occasion!r}")
        previews = PostgresPreviews(database, late_limit=LATE_LIMIT)
        user = None if args.user is None else await user_id(args.user, previews.user_of)
        statuses = tuple(map(Status, args.statuses))
        await redrive.all_of(MessageFilter(user, statuses, args.occasion, args.starts_at, args.ends_at))
        return OK
    finally:
        await database.close()


class Redrive:
    """One run of the command. Every method raises Unavailable."""

    def __init__(
        self, messages: PostgresMessages, history: PostgresHistory, *, dry_run: bool, each: bool, as_json: bool
    ) -> None:
        self._messages = messages
        self._history = history
        self._dry_run = dry_run
        self._each = each
        self._as_json = as_json

    async def redrive_each(self, ids: Sequence[UUID]) -> bool:
        """Redrive these messages, also if the results cannot be written. False if one of them cannot be redriven.

        Raises CommandFailed when results could not be written.
        """
        everything = True
        unwritten: OutputFailed | None = None
        for one in ids:
            refused, message = await self._redrive(one)
            everything = everything and refused is None
            if unwritten is None:
                try:
                    self._tell(one, refused, message)
                except OutputFailed as failure:
                    if self._dry_run:
                        raise
                    discard_output()
                    unwritten = failure
        if unwritten is not None:
            raise CommandFailed(f"all messages were tried, but not all results could be written: {unwritten}")
        return everything

    def _tell(self, message_id: UUID, refused: str | None, message: Message | None) -> None:
        if self._as_json:
            _write_json({"id": message_id, "redriven": refused is None and not self._dry_run, "reason": refused})
        elif refused is not None:
            _write(f"{message_id}: {refused}")
        else:
            _write(_line(message) if self._dry_run and message is not None else f"{message_id}: redriven")

    async def _redrive(self, message_id: UUID) -> tuple[str | None, Message | None]:
        """Redrive one message. Returns the reason why it cannot be redriven, or None, and the message."""
        timeline = await self._history.timeline(message_id)
        if timeline is None:
            return "there is no such message", None
        message = timeline.message
        if not timeline.has_user:
            return "its user is deleted", message
        if message.status not in REDRIVABLE:
            return f"its status is {message.status}; only {', '.join(sorted(REDRIVABLE))} can be redriven", message
        if not timeline.has_active_occasion:
            return "its occasion is not active", message
        if not self._dry_run and not await self._messages.redrive([message_id], by=command_line()):
            return "it has just changed, or PostgreSQL cannot change it", message
        return None, message

    async def all_of(self, wanted: MessageFilter) -> None:
        """Redrive, or list, every message that matches."""
        matched = await self._history.count_redrivable(wanted)
        if not self._dry_run:
            redriven = await self._redrive_all(wanted, matched)
            if self._as_json:
                _write_json({"matched": matched, "redriven": redriven})
            elif not matched and not redriven:
                _write("No message that can be redriven matches. Nothing was changed.")
            else:
                verb = "it is" if redriven == 1 else "they are"
                _write(f"{redriven} of {counted(matched, 'message')} redriven: {verb} due now.")
            return
        listed = await (self._list(wanted) if self._each else self._group(wanted))
        if self._as_json:
            return
        if not listed and not matched:
            _write("No message that can be redriven matches. Nothing was changed: this was a dry run.")
            return
        _write(f"{counted(matched, 'message')} would be redriven. Nothing was changed: this was a dry run.")
        if listed > matched:
            left_out = counted(listed - matched, "of those listed is", "of those listed are")
            _write(f"{left_out} not redriven: the user is deleted, or the occasion is not active.")

    async def _redrive_all(self, wanted: MessageFilter, matched: int) -> int:
        redriven = 0
        with Progress("redriving messages", total=matched) as progress:
            while True:
                moved = await redrive_all(self._messages, self._history, wanted, by=command_line(), most=BATCH_SIZE)
                redriven += moved
                progress.advance(moved)
                if moved < BATCH_SIZE:
                    return redriven

    async def _group(self, wanted: MessageFilter) -> int:
        """Write a line for each reason. Returns the number of messages."""
        reasons = await self._history.reasons(wanted, limit=MAX_REASONS)
        for one in reasons:
            if self._as_json:
                _write_json(asdict(one))
            else:
                span = f"due {one.oldest.isoformat(timespec='seconds')} to {one.newest.isoformat(timespec='seconds')}"
                _write(f"{one.messages:>7}  {one.reason}  ({span}; for example {one.example})")
        return sum(one.messages for one in reasons)

    async def _list(self, wanted: MessageFilter) -> int:
        listed = 0
        after: UUID | None = None
        while page := await self._history.page(wanted, after=after, limit=PAGE_SIZE):
            for message in page:
                _write_json(MessageAnswer.json(message)) if self._as_json else _write(_line(message))
            listed += len(page)
            after = page[-1].id
        return listed


def _line(message: Message) -> str:
    due = message.send_at.isoformat(timespec="seconds")
    return (
        f"{message.id}  {message.status:<7}  {message.occasion}  {due}  "
        f"{counted(message.attempts, 'attempt')}  {message.status_reason}"
    )


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _write_json(document: Mapping[str, object]) -> None:
    _write(encode(document).decode())
