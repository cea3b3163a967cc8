"""The routes of occasions: list, read, write and delete them, and see or try their texts."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from aiohttp import web
from marshmallow import RAISE, Schema, ValidationError, validates_schema

from service.api.dependencies import ApiDependencies
from service.api.http.body import instance_of, load, read_json
from service.api.http.etags import creates_only, etag, if_match_versions, is_not_modified, refuse_unless_new
from service.api.http.fields import EmailAddress, Language, Text, WholeNumber
from service.api.http.problems import (
    CHANGED,
    INVALID,
    LIMIT_REACHED,
    NOT_FOUND,
    OCCASION_IN_USE,
    UNAVAILABLE,
    FieldError,
    Problem,
    invalid_fields,
)
from service.api.http.query import Choice, UserId
from service.api.http.responses import json_response
from service.api.middleware.idempotency import note_resource, reservation
from service.api.middleware.principal import principal
from service.api.occasion_cache import OccasionCache
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.occasions import (
    OccasionDetailsAnswer,
    OccasionInputSchema,
    OccasionListAnswer,
    RenderedOccasionAnswer,
    RenderedTextAnswer,
    TestSendResultAnswer,
    errors_of,
    occasion_of,
    test_send_json,
)
from service.api.representations.users import local_date
from service.domain.messages import EmailServiceName
from service.domain.occasions import CODE_EXPECTED, MOST_OCCASIONS, Occasion, is_code
from service.domain.roles import Role
from service.domain.suppressions import may_write_to
from service.domain.users import email_key
from service.ports import (
    AuditAction,
    CircuitOpen,
    OccasionChanged,
    OccasionEntry,
    OccasionInUse,
    RowRefused,
    TooManyOccasions,
)
from service.rendering import MAX_YEARS, Recipient, greeting_for_test, recipient_of, rendered

TRIES = 5
"""Times that a merge patch is repeated if another client changes the occasion at the same moment."""


class RecipientSchema(Schema):
    """A user by id, or made-up values, and not both."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    example: ClassVar[dict[str, object]] = {"firstName": "Ada", "lastName": "Lovelace", "locale": "de-AT", "years": 36}

    user_id = UserId(allow_none=True, load_default=None, data_key="userId")
    first_name = Text(load_default="Ada", data_key="firstName")
    last_name = Text(allow_none=True, load_default="Lovelace", data_key="lastName")
    locale = Language(allow_none=True, load_default=None)
    years = WholeNumber(0, MAX_YEARS, allow_none=True, load_default=None)

    @validates_schema(pass_original=True)
    def user_or_values(self, _data: dict[str, Any], original: dict[str, Any], **_kwargs: Any) -> None:
        if original.get("userId") is not None:
            values = ("firstName", "lastName", "locale", "years")
            given = [name for name in values if original.get(name) is not None]
            if given:
                raise ValidationError({name: ["Expected `userId` or this, not both."] for name in given})


class RenderInputSchema(RecipientSchema):
    """The recipient of the texts to render."""


class TestSendInputSchema(RecipientSchema):
    """The address of the test, and the recipient of the text."""

    example: ClassVar[dict[str, object]] = {"to": "you@example.com", **RecipientSchema.example}

    to = EmailAddress(required=True)
    service = Choice(*(one.value for one in EmailServiceName), load_default=EmailServiceName.PRIMARY.value)


class OccasionRoutes:
    """The routes under /occasions."""

    def __init__(self, dependencies: ApiDependencies, rules: OccasionCache) -> None:
        self._occasions = dependencies.ports.occasions
        self._users = dependencies.ports.users
        self._audit = dependencies.ports.audit
        self._suppressions = dependencies.ports.suppressions
        self._services = {
            EmailServiceName.PRIMARY: dependencies.email,
            EmailServiceName.FALLBACK: dependencies.fallback,
        }
        self._only_to = dependencies.settings.only_to
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/occasions", self.list),
            web.get("/api/v1/occasions/{code:[^/:]+}", self.get),
            web.put("/api/v1/occasions/{code:[^/:]+}", self.put),
            web.patch("/api/v1/occasions/{code:[^/:]+}", self.change),
            web.delete("/api/v1/occasions/{code:[^/:]+}", self.delete),
            web.post("/api/v1/occasions/{code:[^/:]+}:render", self.render),
            web.post("/api/v1/occasions/{code:[^/:]+}:testSend", self.test_send),
        ]

    @operation("occasions", "List occasions", role=Role.READ, responses={200: ResponseSpec("All.", OccasionListAnswer)})
    async def list(self, request: web.Request) -> web.Response:
        """All occasions, in the order of their codes."""
        return json_response(
            OccasionListAnswer.json(items=[OccasionDetailsAnswer.json(one) for one in await self._occasions.all()])
        )

    @operation(
        "occasions",
        "Read an occasion",
        role=Role.READ,
        responses={
            200: ResponseSpec("The occasion.", OccasionDetailsAnswer, headers=("ETag",)),
            304: ResponseSpec("You have this version."),
        },
        headers=["If-None-Match"],
    )
    async def get(self, request: web.Request) -> web.Response:
        entry = await self._entry(request)
        if is_not_modified(request, entry.version):
            return web.Response(status=304, headers={"ETag": etag(entry.version)})
        return _response(entry)

    @operation(
        "occasions",
        "Create or replace an occasion",
        role=Role.OPERATE,
        body=OccasionInputSchema,
        responses={
            200: ResponseSpec("It was replaced.", OccasionDetailsAnswer, headers=("ETag",)),
            201: ResponseSpec("It was created.", OccasionDetailsAnswer, headers=("Location", "ETag")),
        },
        problems=[CHANGED, LIMIT_REACHED],
        headers=["If-Match", "If-None-Match"],
    )
    async def put(self, request: web.Request) -> web.Response:
        """Users have a date for each occasion, in a field named after the code: `name_day` has `nameDayDate`. A change
        of a rule plans again what is unsent. A change of a text reaches what is queued already. With
        `If-None-Match: *` an occasion is created, and none replaced."""
        code = request.match_info["code"]
        occasion = occasion_of(code, load(instance_of(OccasionInputSchema), await read_json(request)))
        if not is_code(code):
            raise invalid_fields([FieldError("code", f"{CODE_EXPECTED[0].upper()}{CODE_EXPECTED[1:]}.")])
        before = await self._occasions.get(code)
        return await self._write(request, occasion, self._version(request, before))

    @operation(
        "occasions",
        "Change an occasion",
        role=Role.OPERATE,
        body=OccasionInputSchema,
        partial=True,
        body_type="application/merge-patch+json",
        responses={200: ResponseSpec("The occasion.", OccasionDetailsAnswer, headers=("ETag",))},
        problems=[CHANGED],
        headers=["If-Match"],
    )
    async def change(self, request: web.Request) -> web.Response:
        """A merge patch (RFC 7396) of every field but `texts`, also as `application/json`: fields that are left out
        stay. `texts` is one value: if it is there, it replaces the texts of all languages, so send those that shall
        stay, too. With `"active": false` nothing is sent any more, and what is unsent is cancelled."""
        loaded = load(_PARTIAL, await read_json(request))
        given = if_match_versions(request)
        for left in reversed(range(TRIES)):
            before = await self._entry(request)
            self._version(request, before)
            try:
                return await self._write(
                    request, occasion_of(before.occasion.code, loaded, before.occasion), before.version
                )
            except Problem as problem:
                if problem.kind is not CHANGED or given is not None or not left:
                    raise
        raise AssertionError("unreachable")

    @operation(
        "occasions",
        "Delete an occasion",
        role=Role.OPERATE,
        responses={204: ResponseSpec("Deleted.")},
        problems=[CHANGED, OCCASION_IN_USE],
        headers=["If-Match"],
    )
    async def delete(self, request: web.Request) -> web.Response:
        """An occasion with dates or messages is in use and cannot be deleted: set `active` to false instead."""
        entry = await self._entry(request)
        version = self._version(request, entry)
        try:
            found = await self._occasions.delete(entry.occasion.code, version=version, by=principal(request))
        except OccasionChanged as error:
            raise _changed(error.version) from error
        except OccasionInUse as error:
            raise Problem(OCCASION_IN_USE, "It has dates or messages. Set `active` to false instead.") from error
        if not found:
            raise _none()
        return web.Response(status=204)

    @operation(
        "occasions",
        "Render an occasion",
        role=Role.READ,
        body=RenderInputSchema,
        responses={200: ResponseSpec("Subject and text in every language.", RenderedOccasionAnswer)},
    )
    async def render(self, request: web.Request) -> web.Response:
        """The greeting for a user (`userId`), or for made-up values, in every language. `chosen` marks the one that the
        user gets. Without `years` the text for unknown years is shown."""
        entry = await self._entry(request)
        loaded = load(instance_of(RenderInputSchema), await read_json(request))
        recipient = await self._recipient(request, loaded, entry.occasion)
        return json_response(
            RenderedOccasionAnswer.json(
                entry, items=[RenderedTextAnswer.json(one) for one in rendered(entry.occasion, recipient)]
            )
        )

    @operation(
        "occasions",
        "Send a test",
        role=Role.OPERATE,
        body=TestSendInputSchema,
        responses={200: ResponseSpec("What the email service said.", TestSendResultAnswer)},
    )
    async def test_send(self, request: web.Request) -> web.Response:
        """Send the greeting once to this address, under its own key.

        It is no message of a user, and is not tried again. A suppressed address gets no test either. `service` is
        `primary` or `fallback`. While the circuit of that email service is open the answer is 503.
        """
        entry = await self._entry(request)
        loaded = load(instance_of(TestSendInputSchema), await read_json(request))
        if not may_write_to(email_key(loaded["to"]), self._only_to):
            raise invalid_fields([FieldError("to", "Expected an address that HEYDAY_ONLY_TO names.")])
        if found := await self._suppressions.page(email=loaded["to"], reason=None, after=None, limit=1):
            raise invalid_fields([FieldError("to", f"Expected an address that is not suppressed ({found[0].reason}).")])
        recipient = await self._recipient(request, loaded, entry.occasion)
        reserved = reservation(request)
        # The same request after a crash has the same key, so the email service knows whether it has this test.
        key = None if reserved is None else UUID(bytes=reserved.key[:16], version=5)
        greeting = greeting_for_test(entry.occasion, recipient, loaded["to"], key=key)
        email = self._services[EmailServiceName(loaded["service"])]
        if email is None:
            raise invalid_fields([FieldError("service", "Expected `primary`: this node has no fallback service.")])
        await self._audit.record(principal(request), AuditAction.OCCASION_TEST_SENT, [entry.occasion.code])
        try:
            answer = await email.send(greeting)
        except CircuitOpen as error:
            raise Problem(
                UNAVAILABLE,
                f"The circuit of the email service is open ({email.unavailable or 'open'}): nothing was sent.",
                headers={"Retry-After": "10"},
            ) from error
        return json_response(test_send_json(greeting, answer))

    async def _entry(self, request: web.Request) -> OccasionEntry:
        code = request.match_info["code"]
        entry = None if "\0" in code else await self._occasions.get(code)  # no text of the database has a NUL
        if entry is None:
            raise _none()
        return entry

    async def _recipient(self, request: web.Request, loaded: dict[str, Any], occasion: Occasion) -> Recipient:
        if loaded["user_id"] is None:
            return Recipient(loaded["first_name"], loaded["last_name"], loaded["locale"], loaded["years"])
        await note_resource(request, f"/api/v1/users/{loaded['user_id']}")
        user = await self._users.get(loaded["user_id"])
        if user is None:
            raise invalid_fields([FieldError("userId", "Expected the id of a user who is not deleted.")])
        return recipient_of(user, occasion.code, local_date(user.profile.timezone, await self._rules.now()))

    async def _write(self, request: web.Request, occasion: Occasion, version: int | None) -> web.Response:
        if errors := errors_of(occasion):
            raise invalid_fields(errors)
        try:
            entry, created = await self._occasions.put(
                occasion, version=version, create_only=creates_only(request), by=principal(request)
            )
        except OccasionChanged as error:
            raise _changed(error.version) from error
        except TooManyOccasions as error:
            raise Problem(LIMIT_REACHED, f"Expected {MOST_OCCASIONS} occasions at most.") from error
        except RowRefused as error:
            raise Problem(INVALID, f"The database refuses the occasion: {error.reason}.") from error
        return _response(entry, created=created)

    def _version(self, request: web.Request, entry: OccasionEntry | None) -> int | None:
        """The version to require, or None. Raises Problem when If-Match or If-None-Match forbids the change."""
        accepted = if_match_versions(request)
        version = None if entry is None else entry.version
        if version is None and "If-Match" in request.headers:
            raise _changed(None)
        if accepted is not None and version not in accepted:
            raise _changed(version)
        refuse_unless_new(request, version)
        # The tag is compared with the version that was read: it must still be that one.
        return None if accepted is None and "If-None-Match" not in request.headers else version


_PARTIAL = OccasionInputSchema(partial=True)


def _response(entry: OccasionEntry, *, created: bool = False) -> web.Response:
    headers = {"ETag": etag(entry.version)}
    if created:
        headers["Location"] = f"/api/v1/occasions/{entry.occasion.code}"
    return json_response(OccasionDetailsAnswer.json(entry), status=201 if created else 200, headers=headers)


def _none() -> Problem:
    return Problem(NOT_FOUND, "There is no such occasion.")


def _changed(version: int | None) -> Problem:
    if version is None:
        return Problem(CHANGED, "There is no such occasion.")
    return Problem(
        CHANGED,
        f"The occasion is of version {etag(version)} now: read it and decide again.",
        headers={"ETag": etag(version)},
    )
