"""/docs, /openapi.json and /problems: the documentation of the API, without anything from another host."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from aiohttp import web

from service.api.http.json_text import encode
from service.api.http.problems import KINDS, NOT_FOUND, Problem
from service.api.http.responses import json_response
from service.api.middleware.api_keys import ApiKeys
from service.api.occasion_cache import OccasionCache, codes
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.openapi.document import openapi
from service.api.representations.node import ProblemKindAnswer
from service.domain.occasions import DEFAULTS
from service.ports import Unavailable

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>heyday: the API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<main id="swagger-ui"></main>
<noscript>This page needs JavaScript. The document itself: <a href="openapi.json">openapi.json</a></noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START = """'use strict';
SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


class DocsRoutes:
    """Open without a key: they hold no personal data."""

    def __init__(self, rules: OccasionCache, keys: ApiKeys) -> None:
        self._rules = rules
        self._keys = keys
        self._written: tuple[object, bytes] | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/docs", self.page),
            web.get("/docs/{asset}", self.asset),
            web.get("/openapi.json", self.document),
            web.get("/problems/{slug}", self.problem),
        ]

    async def page(self, _request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def asset(self, request: web.Request) -> web.Response:
        name = request.match_info["asset"]
        if name == "start.js":
            return web.Response(text=_START, content_type="text/javascript")
        if name not in _ASSETS:
            raise Problem(NOT_FOUND, "There is no such file.")
        return web.Response(
            body=_asset(name), content_type=_ASSETS[name], headers={"Cache-Control": "public, max-age=86400"}
        )

    @operation("docs", "Read the document", responses={200: ResponseSpec("OpenAPI 3.1.", "Document")})
    async def document(self, request: web.Request) -> web.Response:
        """Users have a date for each occasion that is in the database, as of a few seconds ago."""
        try:
            occasions = codes(await self._rules.current())
        except Unavailable:
            occasions = tuple(occasion.code for occasion in DEFAULTS)
        made_of = (occasions, self._keys.needed)
        if self._written is None or self._written[0] != made_of:
            document = openapi(request.app.router.routes(), occasions, keyed=self._keys.needed)
            self._written = (made_of, encode(document))
        return web.Response(body=self._written[1], content_type="application/json")

    @operation("docs", "Read a problem kind", responses={200: ResponseSpec("The kind.", ProblemKindAnswer)})
    async def problem(self, request: web.Request) -> web.Response:
        """The target of `type` in a problem document."""
        kind = KINDS.get(request.match_info["slug"])
        if kind is None:
            raise Problem(NOT_FOUND, "There is no such kind of problem.")
        return json_response(ProblemKindAnswer.json(kind))


@cache
def _asset(name: str) -> bytes:
    # Imported at the first request: a node whose documentation is never read does not load it.
    folder: Path = import_module("swagger_ui_bundle").swagger_ui_path
    return (folder / name).read_bytes()
