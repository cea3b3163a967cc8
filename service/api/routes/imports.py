"""The route that imports users: NDJSON or CSV streams in, and a result line for each line streams out, in order.

Rows are stored a few hundred at a time, each batch in one statement, and two batches at once. Sending an import again
is harmless: rows that were stored are answered with 409, or with `onConflict=update` as unchanged.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from aiohttp import web

from service.api.dependencies import ApiDependencies
from service.api.http.body import load_query
from service.api.http.csv_lines import csv_header, names_delimiter
from service.api.http.json_text import encode
from service.api.http.ndjson import MAX_LINE_BYTES, MAX_STREAM_BYTES, BodyEnded, Line, parse_line, read_lines
from service.api.http.problems import (
    INVALID,
    MEDIA_TYPE,
    TOO_LARGE,
    UNAVAILABLE,
    Problem,
    result_line,
)
from service.api.http.query import Choice, Query
from service.api.http.streaming import RESULTS_NOT_READ, ResultsNotRead, SpooledResponse, streamed
from service.api.imports.rows import Parse, Row, read_row
from service.api.imports.slots import ImportSlots
from service.api.imports.updates import Result, Stored, UpdatingBatch, keys_of
from service.api.middleware.clients import CLIENT
from service.api.occasion_cache import OccasionCache, codes, desired_for_new_user
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.users import UserSchema, loader
from service.api.routes.users import taken
from service.domain.planning import PlanningRules
from service.domain.roles import Role
from service.domain.users import Profile
from service.ports import Created, EmailTaken, ExternalIdTaken, RowRefused, Unavailable
from service.turns import Turns

log = structlog.get_logger(__name__)

BATCH_ROWS = 500
"""Rows of one statement."""

MAX_STATEMENTS = 4
"""Statements of all imports at once: other requests need connections to the database, too."""

TRIES = 5
"""Tries of a batch while the database is away."""

RETRY_INTERVAL = 1.0
"""Seconds between two of them."""

NDJSON_TYPE = "application/x-ndjson"

REFUSE, UPDATE = "refuse", "update"

CSV_TYPE = "text/csv"

UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})

NDJSON = frozenset({NDJSON_TYPE, "application/ndjson", "application/jsonl", "application/x-jsonlines"})


Outcome = Sequence[Created | Result] | Unavailable
"""For each row that describes a user its result; or the outage that outlasted every try."""


class ImportQuery(Query):
    """The choice for a row whose user exists."""

    on_conflict = Choice(REFUSE, UPDATE, load_default=REFUSE, data_key="onConflict")


@dataclass(frozen=True, slots=True)
class Import:
    """The format of one import's lines, and the choice for users that exist."""

    lines: AsyncIterator[Line]
    parse_line: Parse
    rules: PlanningRules
    updates: bool


@dataclass(frozen=True, slots=True)
class Storing:
    """A batch that is being stored; `keys` name its users."""

    rows: list[Row]
    keys: set[str]
    outcome: asyncio.Task[Outcome]


class ImportRoutes:
    """One long request for many users."""

    def __init__(self, dependencies: ApiDependencies, occasions: OccasionCache, slots: ImportSlots) -> None:
        self._users = dependencies.ports.users
        self._occasions = occasions
        self._slots = slots
        self._statements = asyncio.Semaphore(MAX_STATEMENTS)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v1/users:import", self.run)]

    @operation(
        "users",
        "Import users",
        role=Role.WRITE,
        body=UserSchema,
        body_type=NDJSON_TYPE,
        takes_csv=True,
        query=ImportQuery,
        responses={200: ResponseSpec("A result for each line, in order.", "ImportResult", NDJSON_TYPE)},
    )
    async def run(self, request: web.Request) -> web.StreamResponse:
        """NDJSON streams in, a result line for each line that is not blank streams out, in order. Rows stand alone: one
        that is refused stops no other. Sending an import again is harmless: what was stored is answered with 409.
        Of two rows with one address or one externalId the first wins.

        With `onConflict=update` a row updates the user who has its externalId, or else its address: fields that the row
        leaves out stay, and null removes. The result says `created` (201), `updated` or `unchanged` (200).

        `text/csv` is accepted, too: a header with the names of the fields, in any order, then one user a line.
        Commas, semicolons or tabs separate the cells. An empty cell is null.

        Limits: 16384 bytes a line, 1000000 lines and 536870912 bytes an import. A client that sends less than 8192
        bytes in 30 s, or lets 32 MiB of results wait, is disconnected; the last result line gives the reason."""
        updates = load_query(request, ImportQuery)["on_conflict"] == UPDATE
        if request.content_type not in NDJSON | {CSV_TYPE} or (request.charset or "utf-8").lower() not in UTF_8:
            raise Problem(MEDIA_TYPE, "Send a JSON object a line as `application/x-ndjson`, or `text/csv`, in UTF-8.")
        if (request.content_length or 0) > MAX_STREAM_BYTES:
            raise Problem(TOO_LARGE, f"An import has {MAX_STREAM_BYTES} bytes at most.")
        # A problem that concerns every row is found before the response begins.
        rules = await self._occasions.current()
        await self._occasions.now()
        with self._slots.slot(request[CLIENT]):
            lines = read_lines(request.content)
            parse = await _csv(lines, rules) if request.content_type == CSV_TYPE else parse_line
            importing = Import(lines, parse, rules, updates)
            async with streamed(request, NDJSON_TYPE) as results:
                await self._import(importing, results)
        return results.response

    async def _import(self, importing: Import, results: SpooledResponse) -> None:
        # While the database stores two batches, the next is read and checked.
        batches: asyncio.Queue[list[Row]] = asyncio.Queue(1)
        try:
            async with asyncio.TaskGroup() as both:
                storing = both.create_task(self._store_all(importing, batches, results, both))
                last, ended = await self._read(importing, batches)
        except ExceptionGroup as failed:
            # One of the two fails, and stops the other. The group is not the cause of its own member.
            error = failed.exceptions[0]
            if not isinstance(error, ResultsNotRead):
                raise error from None
            results.keep(result_line(None, Problem(TOO_LARGE, RESULTS_NOT_READ)))
            log.info("import_ended", reason="results not read")
            return
        if ended is not None:
            await results.add(result_line(last + 1, Problem(ended.kind, str(ended))))
        counts = storing.result()
        log.info("users_imported", stored=counts["created"], updated=counts["updated"], lines=last)

    async def _read(self, importing: Import, batches: asyncio.Queue[list[Row]]) -> tuple[int, BodyEnded | None]:
        """Check every line. Returns the number of the last, and why reading ended before the end of the body.

        The last batch is an empty one.
        """
        rows: list[Row] = []
        last, ended = 0, None
        turns = Turns()
        try:
            async for line in importing.lines:
                last = line.number
                now = await self._occasions.now()
                rows.append(read_row(line, importing.parse_line, importing.rules, now, updates=importing.updates))
                if len(rows) == BATCH_ROWS:
                    await batches.put(rows)
                    rows = []
                await turns.give()
        except BodyEnded as error:
            ended = error
        if rows:
            await batches.put(rows)
        await batches.put([])
        return last, ended

    async def _store_all(
        self,
        importing: Import,
        batches: asyncio.Queue[list[Row]],
        results: SpooledResponse,
        both: asyncio.TaskGroup,
    ) -> Counter[str]:
        """Store one batch while the one before it is committed and answered. Returns how many rows did what."""
        counts: Counter[str] = Counter()
        earlier: Storing | None = None
        while rows := await batches.get():
            keys = {key for row in rows for key in keys_of(row)}
            if earlier is not None and not keys.isdisjoint(earlier.keys):
                await earlier.outcome  # of two rows with one address the first wins
            before = None if earlier is None else earlier.outcome
            storing = self._update(rows, before) if importing.updates else self._create(rows)
            begun = Storing(rows, keys, both.create_task(storing))
            if earlier is not None:
                counts += await _write_results(earlier, results)
            earlier = begun
        return counts + (await _write_results(earlier, results) if earlier is not None else Counter())

    async def _store(
        self,
        profiles: Sequence[Profile],
        rules: PlanningRules,
        *,
        ids: Sequence[UUID],
        again: bool,
    ) -> list[Created]:
        """Store users by these rules."""
        now = await self._occasions.now()
        rows = [(profile, desired_for_new_user(rules, profile, now)) for profile in profiles]
        return await self._users.create_many(rows, ids=ids, again=again, now=now)

    async def _create(self, batch: list[Row]) -> Outcome:
        """Store the rows that describe users.

        The ids are chosen before the first try. A try whose answer was lost may have stored the rows: the next one
        recognises them by their ids, where it would otherwise call them conflicts.
        """
        profiles = [row.profile for row in batch if row.profile is not None]
        if not profiles:
            return []
        ids: list[UUID] | None = None
        for left in range(TRIES - 1, -1, -1):
            again = ids is not None
            try:
                async with self._statements:
                    if ids is None:
                        ids = await self._users.new_ids(len(profiles))
                    return await self._create_many(profiles, ids=ids, again=again)
            except Unavailable as error:
                if not left:
                    return error
                await asyncio.sleep(RETRY_INTERVAL)
        raise AssertionError("the last try returns")

    async def _update(self, batch: list[Row], earlier: Awaitable[object] | None) -> Outcome:
        """Create or update the users of the rows."""
        rows = [row for row in batch if row.profile is not None]
        if not rows:
            return []
        updating: UpdatingBatch | None = None
        for left in range(TRIES - 1, -1, -1):
            try:
                if updating is None:
                    ids = await self._users.new_ids(len(rows))
                    updating = UpdatingBatch(self._users, self._occasions, self._statements, rows, ids)
                return await updating.store(self._create_many, earlier)
            except Unavailable as error:
                if not left:
                    return error
                await asyncio.sleep(RETRY_INTERVAL)
        raise AssertionError("the last try returns")

    async def _create_many(self, profiles: Sequence[Profile], *, ids: Sequence[UUID], again: bool) -> list[Created]:
        return await self._occasions.apply(partial(self._store, profiles, ids=ids, again=again))


async def _csv(lines: AsyncIterator[Line], rules: PlanningRules) -> Parse:
    """Read the header. Raises Problem."""
    try:
        header = await anext(lines, None)
        if header is not None and names_delimiter(header.text or b""):
            header = await anext(lines, None)
    except BodyEnded as error:
        raise Problem(error.kind, str(error)) from error
    if header is None or header.text is None:
        raise Problem(INVALID, f"Expected a header of {MAX_LINE_BYTES} bytes at most: the names of the fields.")
    return csv_header(header.text, loader(codes(rules)).nullable).document


async def _write_results(batch: Storing, results: SpooledResponse) -> Counter[str]:
    """Write the results of a batch once it is stored. Returns how many rows did what."""
    outcome = await batch.outcome
    stored = () if isinstance(outcome, Unavailable) else outcome
    created = iter(stored)
    if refused := [one for one in stored if isinstance(one, RowRefused)]:
        log.warning("rows_refused", rows=len(refused), reason=refused[0].reason)
    text = bytearray()
    counts: Counter[str] = Counter()
    for row in batch.rows:
        if row.problem is not None:
            text += result_line(row.line, row.problem)
        elif isinstance(outcome, Unavailable):
            text += result_line(row.line, Problem(UNAVAILABLE, f"{outcome.system} is away: send this row again."))
        elif isinstance(result := next(created), UUID):
            text += encode({"line": row.line, "status": 201, "id": result}) + b"\n"
            counts["created"] += 1
        elif isinstance(result, Stored):
            status = 201 if result.outcome == "created" else 200
            text += encode({"line": row.line, "status": status, "id": result.id, "result": result.outcome}) + b"\n"
            counts[result.outcome] += 1
        elif result is None or isinstance(result, EmailTaken | ExternalIdTaken):
            text += result_line(row.line, taken(result or EmailTaken()))
        else:
            text += result_line(row.line, Problem(INVALID, "The database does not take these values."))
    await results.add(bytes(text))
    return counts
