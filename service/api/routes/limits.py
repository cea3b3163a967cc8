"""The routes of run-time limits, which stand above the settings of all nodes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from aiohttp import web
from marshmallow import RAISE, Schema, fields

from service.api.dependencies import ApiDependencies
from service.api.http.body import instance_of, load, read_json
from service.api.http.fields import JsonSchema, Messages, WholeNumber
from service.api.http.responses import json_response
from service.api.middleware.principal import principal
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.limits import FIELDS, LimitsAnswer, limits_json
from service.domain.limits import LimitChange, LimitName
from service.domain.roles import Role
from service.limits import LOG_LEVELS, MAX_CONCURRENCY, RATE_PATTERN, checked
from service.node.limits import NodeLimits

_TEXT_ERRORS: Messages = {"invalid": "Expected {expected}."}


class LimitText(fields.Field[str]):
    """The value of a limit that is a text."""

    default_error_messages = _TEXT_ERRORS

    def __init__(self, limit: LimitName, json_schema: Mapping[str, object], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limit = limit
        self.json_schema: JsonSchema = MappingProxyType({"type": "string", **json_schema})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return checked(self.limit, value if isinstance(value, str) else "")
        except ValueError as error:
            raise self.make_error("invalid", expected=error) from error


class LimitsChangeSchema(Schema):
    """Limits to set. Null removes one, so that the setting of each node decides again."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    example: ClassVar = {"emailRate": "50/s", "logLevel": None}

    email_rate = LimitText(
        LimitName.EMAIL_RATE,
        {"pattern": RATE_PATTERN, "examples": ["50/s"]},
        allow_none=True,
        data_key=FIELDS[LimitName.EMAIL_RATE],
    )
    email_concurrency = WholeNumber(1, MAX_CONCURRENCY, allow_none=True, data_key=FIELDS[LimitName.EMAIL_CONCURRENCY])
    log_level = LimitText(
        LimitName.LOG_LEVEL, {"enum": list(LOG_LEVELS)}, allow_none=True, data_key=FIELDS[LimitName.LOG_LEVEL]
    )


class LimitRoutes:
    """A change takes effect on every node within a second of the answer."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._limits = dependencies.ports.limits
        self._settings = dependencies.settings

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/limits", self.show), web.patch("/api/v1/limits", self.change)]

    @operation("limits", "Show the limits", role=Role.READ, responses={200: ResponseSpec("Each limit.", LimitsAnswer)})
    async def show(self, _request: web.Request) -> web.Response:
        """Each limit: its value, and whether a limit or the setting of the node that answers decides."""
        return self._answer(await self._limits.read())

    @operation(
        "limits",
        "Change limits",
        role=Role.OPERATE,
        body=LimitsChangeSchema,
        body_type="application/merge-patch+json",
        responses={200: ResponseSpec("Each limit.", LimitsAnswer)},
    )
    async def change(self, request: web.Request) -> web.Response:
        """A merge patch (RFC 7396), also as `application/json`. A limit stands above the setting of every node until it
        is removed with null. No call of the email service begins by an earlier value later than one second after this
        answer, on any node."""
        loaded = load(instance_of(LimitsChangeSchema), await read_json(request))
        values = {LimitName(name): None if value is None else str(value) for name, value in loaded.items()}
        return self._answer(await self._limits.change(values, by=principal(request)))

    def _answer(self, changes: list[LimitChange]) -> web.Response:
        limits = NodeLimits(self._settings)
        limits.renew(changes)
        return json_response(limits_json(limits))
