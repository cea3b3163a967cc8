"""Refuses query parameters and fields of a body that reach a route which takes none, and so would not be noticed.

A route that declares a query or a body in `operation` reads it by that schema, which refuses what it does not know.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler
from marshmallow import RAISE, Schema

from service.api.http.body import instance_of, load, load_query, parse, read_body
from service.api.http.query import Query
from service.api.middleware.clients import is_guarded
from service.api.openapi.decorators import is_webhook, takes_body, takes_query


class NoParameters(Query):
    """The query of a route without parameters."""


class NoFields(Schema):
    """The body of a route without fields."""

    class Meta:
        unknown = RAISE

    error_messages = {  # noqa: RUF012 - marshmallow's
        "unknown": "Unknown field: this request takes none.",
        "type": "Expected no body.",
    }


@web.middleware
async def refuse_undeclared(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 422 to a parameter or a field that the route would ignore: `?dryRun=true` must not be a real run.

    The body of other methods than POST has no meaning (RFC 9110, 9.3), and is left unread. Providers may add
    parameters to the URL of a webhook.
    """
    route = request.match_info.handler
    if request.match_info.http_exception is None and is_guarded(request) and not is_webhook(route):
        if request.query_string and not takes_query(route):
            load_query(request, NoParameters)
        if request.method == "POST" and request.can_read_body and not takes_body(route):
            body = await read_body(request)
            if body.strip():
                load(instance_of(NoFields), parse(body))
    return await handler(request)
