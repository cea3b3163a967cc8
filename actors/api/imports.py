"""The route that imports users: NDJSON streams in, a result line for each line streams out, in order.

Rows are stored a few hundred at a time, each batch in one statement, and two batches at once. Sending an import again
is harmless: rows that were stored are answered with 409.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from aiohttp import web

from actors.api.answers import encode
from actors.api.body import load, parse
from actors.api.calendar_rules import CalendarRules, codes, first_wanted
from actors.api.documented import Answer, operation
from actors.api.lines import MOST_LINE, BodyEnded, Line, lines
from actors.api.parts import ApiParts
from actors.api.problems import BUSY, EMAIL_TAKEN, MEDIA_TYPE, TIMEOUT, TOO_LARGE, UNAVAILABLE, Kind, Problem
from actors.api.results import Results
from actors.api.user_json import UserSchema, loader, profile_of, refuse_future
from service.domain.users import Profile, email_key
from service.planning import Rules
from service.ports import Unavailable, Wanted

log = structlog.get_logger(__name__)

ROWS_AT_ONCE = 500
"""Rows of one statement."""

ROWS_IN_A_TURN = 25
"""Rows checked before the event loop turns: greetings must not wait for an import."""

MOST_IMPORTS = 2
"""Imports that a node does at once."""

TRIES = 5
"""How often a batch is tried while the database is away; a second lies between two tries."""

_MARGIN = timedelta(minutes=1)

NDJSON_TYPE = "application/x-ndjson"

NDJSON = frozenset({NDJSON_TYPE, "application/ndjson", "application/jsonl", "application/x-jsonlines"})


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the import: the user it describes, or why there is none."""

    line: int
    profile: Profile | None
    wanted: list[Wanted]
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Storing:
    """A batch that is being stored; `addresses` in the form in which they are compared."""

    rows: list[Row]
    addresses: set[str]
    outcome: asyncio.Task[list[Any] | Unavailable]


class ImportRoutes:
    """One long request for many users."""

    def __init__(self, parts: ApiParts, rules: CalendarRules) -> None:
        self._users = parts.users
        self._rules = rules
        self._running = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v1/users:import", self.run)]

    @operation(
        "users",
        "Import users",
        body=UserSchema,
        body_type=NDJSON_TYPE,
        answers={200: Answer("A result for each line, in order.", "ImportResult", NDJSON_TYPE)},
    )
    async def run(self, request: web.Request) -> web.StreamResponse:
        """NDJSON streams in, a result line for each line that is not blank streams out, in order. Rows stand alone: one
        that is refused stops no other. Sending an import again is harmless: what was stored is answered with 409.
        Of two rows with one address the first wins. A line has 16384 bytes at most."""
        if request.content_type not in NDJSON:
            raise Problem(MEDIA_TYPE, "Send a JSON object a line as `Content-Type: application/x-ndjson`.")
        if self._running >= MOST_IMPORTS:
            raise Problem(BUSY, "Other imports are under way on this node.", headers={"Retry-After": "10"})
        # Whatever would refuse every row is found out before the answer begins.
        rules = await self._rules.current()
        self._rules.now()
        response = web.StreamResponse(headers={"Content-Type": NDJSON_TYPE})
        self._running += 1
        await response.prepare(request)
        results = Results(request, response)
        try:
            await self._import(request, rules, results)
            await results.finish()
        except Exception:
            # The answer has begun with 200: only its end without an end says that something went wrong.
            if request.transport is not None:
                request.transport.abort()
            raise
        finally:
            self._running -= 1
            results.close()
        return response

    async def _import(self, request: web.Request, rules: Rules, results: Results) -> None:
        # While the database stores two batches, the next is read and checked.
        batches: asyncio.Queue[list[Row]] = asyncio.Queue(1)
        try:
            async with asyncio.TaskGroup() as both:
                storing = both.create_task(self._store_all(batches, results, both))
                last, cut_off = await self._read(request, rules, batches)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed  # one of the two fails, and stops the other
        if cut_off is not None:
            await results.add(_line(last + 1, TIMEOUT, str(cut_off)))
        log.info("users_imported", stored=storing.result(), lines=last)

    async def _read(
        self, request: web.Request, rules: Rules, batches: asyncio.Queue[list[Row]]
    ) -> tuple[int, BodyEnded | None]:
        """Check every line; the number of the last, and why there are no more if the body was cut off. The last batch
        is an empty one."""
        rows: list[Row] = []
        last, cut_off = 0, None
        now = self._rules.now()
        try:
            async for line in lines(request.content):
                last = line.number
                rows.append(_row(line, rules, now))
                if len(rows) % ROWS_IN_A_TURN == 0:
                    await asyncio.sleep(0)
                    now = self._rules.now()
                if len(rows) == ROWS_AT_ONCE:
                    await batches.put(rows)
                    rows = []
        except BodyEnded as error:
            cut_off = error
        if rows:
            await batches.put(rows)
        await batches.put([])
        return last, cut_off

    async def _store_all(self, batches: asyncio.Queue[list[Row]], results: Results, both: asyncio.TaskGroup) -> int:
        """Store one batch while the one before it is committed and answered; how many users that made."""
        stored = 0
        earlier: Storing | None = None
        while rows := await batches.get():
            addresses = {email_key(row.profile.email) for row in rows if row.profile is not None}
            if earlier is not None and not addresses.isdisjoint(earlier.addresses):
                await earlier.outcome  # of two rows with one address the first wins
            storing = Storing(rows, addresses, both.create_task(self._create(rows)))
            if earlier is not None:
                stored += await _answer(earlier, results)
            earlier = storing
        return stored + (await _answer(earlier, results) if earlier is not None else 0)

    async def _create(self, batch: list[Row]) -> list[Any] | Unavailable:
        """The id of each that describes a user, None for a taken address; or the outage that outlasted every try."""
        rows = [(row.profile, row.wanted) for row in batch if row.profile is not None]
        if not rows:
            return []
        for left in range(TRIES - 1, -1, -1):
            try:
                return list(await self._users.create_many(rows))
            except Unavailable as error:
                if not left:
                    return error
                await asyncio.sleep(1.0)
        raise AssertionError("the last try returns")


async def _answer(batch: Storing, results: Results) -> int:
    """Write the results of a batch once it is stored; how many users it made."""
    outcome = await batch.outcome
    ids = iter(outcome if not isinstance(outcome, Unavailable) else ())
    text = bytearray()
    for row in batch.rows:
        if row.problem is not None:
            text += _refused(row.line, row.problem)
        elif isinstance(outcome, Unavailable):
            text += _line(row.line, UNAVAILABLE, f"{outcome.system} is away: send this row again.")
        elif (user_id := next(ids)) is None:
            text += _line(row.line, EMAIL_TAKEN, "Another user has this email address.")
        else:
            text += encode({"line": row.line, "status": 201, "id": user_id}) + b"\n"
    await results.add(bytes(text))
    return sum(user_id is not None for user_id in outcome) if not isinstance(outcome, Unavailable) else 0


def _row(line: Line, rules: Rules, now: datetime) -> Row:
    known = codes(rules)
    try:
        loaded = load(loader(known), _parsed(line))
        refuse_future(loaded, known, loaded["timezone"], now)
    except Problem as problem:
        problem.__traceback__ = None  # its frames name the rows before this one, and those this problem
        return Row(line.number, None, [], problem)
    profile = profile_of(loaded, known)
    # Greetings of the past are none of a new user's; the statement decides, this spares it most of them.
    since = now - _MARGIN
    wanted = [w for w in first_wanted(rules, profile, now) if w.send_at is not None and w.send_at > since]
    return Row(line.number, profile, wanted, None)


def _parsed(line: Line) -> Any:
    if line.text is None:
        raise Problem(TOO_LARGE, f"A line has {MOST_LINE} bytes at most.")
    return parse(line.text)


def _refused(line: int, problem: Problem) -> bytes:
    errors = [error.as_json() for error in problem.errors]
    return _line(line, problem.kind, problem.detail, **({"errors": errors} if errors else {}))


def _line(line: int, kind: Kind, detail: str, **more: object) -> bytes:
    return encode({"line": line, "status": kind.status, "type": kind.type, "detail": detail, **more}) + b"\n"
