"""The routes of suppressed addresses. They are looked at when a message is claimed for sending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from aiohttp import web
from marshmallow import RAISE, Schema, fields

from service.api.dependencies import ApiDependencies
from service.api.http.body import instance_of, load, load_query, read_json
from service.api.http.fields import EmailAddress, JsonSchema, Messages, Text
from service.api.http.json_text import encode
from service.api.http.ndjson import MAX_LINE_BYTES, BodyEnded, Line, parse_line, read_lines
from service.api.http.paths import path_uuid
from service.api.http.problems import MEDIA_TYPE, NOT_FOUND, TOO_LARGE, UNAVAILABLE, Problem, result_line
from service.api.http.query import AnyText, Page
from service.api.http.responses import json_response
from service.api.http.streaming import RESULTS_NOT_READ, ResultsNotRead, SpooledResponse, streamed
from service.api.imports.slots import ImportSlots
from service.api.middleware.clients import CLIENT
from service.api.middleware.idempotency import note_resource
from service.api.middleware.principal import principal
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.answers import Listed
from service.api.representations.suppressions import SuppressionAnswer, SuppressionPage
from service.api.routes.imports import NDJSON, NDJSON_TYPE, UTF_8
from service.domain.roles import Role
from service.domain.suppressions import NewSuppression, SuppressionReason
from service.ports import Principal, Unavailable
from service.turns import Turns

log = structlog.get_logger(__name__)

BATCH_ROWS = 500
"""Rows of one transaction of an import."""

_REASON_ERRORS: Messages = {
    "invalid": f"Expected one of {', '.join(SuppressionReason)}.",
    "required": "Expected, and missing.",
}


class ReasonField(fields.Field[SuppressionReason]):
    """A reason for which an address gets nothing."""

    default_error_messages = _REASON_ERRORS
    json_schema: ClassVar[JsonSchema] = {"type": "string", "enum": [one.value for one in SuppressionReason]}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> SuppressionReason:
        if not isinstance(value, str) or value not in list(SuppressionReason):
            raise self.make_error("invalid")
        return SuppressionReason(value)


class SuppressionInputSchema(Schema):
    """An address, the reason, and where it comes from."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    example: ClassVar = {"email": "ada@example.com", "reason": "opt_out", "source": "preference centre"}

    email = EmailAddress(required=True)
    reason = ReasonField(required=True)
    source = Text(load_default="API")


class SuppressionsQuery(Page):
    """Filters: an address in any spelling, and the reason."""

    email = AnyText(load_default=None)
    reason = ReasonField(load_default=None)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of an import: the suppression, or its error."""

    line: int
    given: NewSuppression | None
    problem: Problem | None


class SuppressionRoutes:
    """Adding is harmless when repeated: there is one row for an address and a reason."""

    def __init__(self, dependencies: ApiDependencies, slots: ImportSlots) -> None:
        self._suppressions = dependencies.ports.suppressions
        self._slots = slots

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/suppressions", self.page),
            web.post("/api/v1/suppressions", self.add),
            web.post("/api/v1/suppressions:import", self.run_import),
            web.delete("/api/v1/suppressions/{id:[^/:]+}", self.remove),
        ]

    @operation(
        "suppressions",
        "List suppressions",
        role=Role.READ,
        query=SuppressionsQuery,
        responses={200: ResponseSpec("A page.", SuppressionPage)},
    )
    async def page(self, request: web.Request) -> web.Response:
        """The addresses that get nothing. `email` is null where the user was erased: the address is still found by
        its hash."""
        loaded = load_query(request, SuppressionsQuery)
        limit = loaded["limit"]
        found = await self._suppressions.page(
            email=loaded["email"], reason=loaded["reason"], after=loaded["cursor"], limit=limit + 1
        )
        return json_response(SuppressionPage.json(Listed(found, limit)))

    @operation(
        "suppressions",
        "Suppress an address",
        role=Role.WRITE,
        body=SuppressionInputSchema,
        responses={
            201: ResponseSpec("It is suppressed.", SuppressionAnswer),
            200: ResponseSpec("It was suppressed before, for this reason.", SuppressionAnswer),
        },
    )
    async def add(self, request: web.Request) -> web.Response:
        """The address gets nothing from now on.

        Messages to it are cancelled when they are due. A call that has begun is finished.
        """
        given = NewSuppression(**load(instance_of(SuppressionInputSchema), await read_json(request)))
        (added,) = await self._suppressions.add([given], by=principal(request))
        await note_resource(request, f"/api/v1/suppressions/{added.suppression.id}")
        return json_response(SuppressionAnswer.json(added.suppression), status=201 if added.new else 200)

    @operation("suppressions", "Remove a suppression", role=Role.WRITE, responses={204: ResponseSpec("It is removed.")})
    async def remove(self, request: web.Request) -> web.Response:
        """The address may be written to again, unless it is suppressed for another reason, too.

        Cancelled messages stay cancelled.
        """
        if not await self._suppressions.remove(path_uuid(request), by=principal(request)):
            raise Problem(NOT_FOUND, "There is no such suppression.")
        return web.Response(status=204)

    @operation(
        "suppressions",
        "Import suppressions",
        role=Role.WRITE,
        body=SuppressionInputSchema,
        body_type=NDJSON_TYPE,
        responses={200: ResponseSpec("A result for each line, in order.", "ImportResult", NDJSON_TYPE)},
    )
    async def run_import(self, request: web.Request) -> web.StreamResponse:
        """NDJSON streams in, a result line for each line that is not blank streams out, in order: 201 for a new row,
        200 for one that is there, 422 for one that is refused. Sending an import again is harmless."""
        if request.content_type not in NDJSON or (request.charset or "utf-8").lower() not in UTF_8:
            raise Problem(MEDIA_TYPE, "Send a JSON object a line as `application/x-ndjson`, in UTF-8.")
        with self._slots.slot(request[CLIENT]):
            async with streamed(request, NDJSON_TYPE) as results:
                try:
                    await self._import(request, results)
                except ResultsNotRead:
                    results.keep(result_line(None, Problem(TOO_LARGE, RESULTS_NOT_READ)))
                    log.info("import_ended", reason="results not read")
        return results.response

    async def _import(self, request: web.Request, results: SpooledResponse) -> None:
        by, rows, last = principal(request), [], 0
        turns = Turns()
        try:
            async for line in read_lines(request.content):
                last = line.number
                rows.append(_read(line))
                if len(rows) == BATCH_ROWS:
                    await results.add(await self._store(rows, by))
                    rows = []
                await turns.give()
        except BodyEnded as ended:
            await results.add(await self._store(rows, by) + result_line(last + 1, Problem(ended.kind, str(ended))))
            return
        await results.add(await self._store(rows, by))

    async def _store(self, rows: list[_Row], by: Principal) -> bytes:
        """Add a batch; return its result lines."""
        given = [row.given for row in rows if row.given is not None]
        away: Unavailable | None = None
        try:
            added = iter(await self._suppressions.add(given, by=by) if given else [])
        except Unavailable as error:
            away, added = error, iter(())
        text = b""
        for row in rows:
            if row.problem is not None:
                text += result_line(row.line, row.problem)
            elif away is not None:
                text += result_line(row.line, Problem(UNAVAILABLE, f"{away.system} is away: send this row again."))
            else:
                one = next(added)
                text += encode({"line": row.line, "status": 201 if one.new else 200, "id": one.suppression.id}) + b"\n"
        return text


def _read(line: Line) -> _Row:
    if line.text is None:
        return _Row(line.number, None, Problem(TOO_LARGE, f"A line has {MAX_LINE_BYTES} bytes at most."))
    try:
        loaded = load(instance_of(SuppressionInputSchema), parse_line(line.text))
    except Problem as problem:
        return _Row(line.number, None, problem)
    return _Row(line.number, NewSuppression(**loaded), None)
