"""The files of the web console, and the way from `/` to it. They hold no data: the console asks the API for them."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

from service.api.http.etags import is_not_modified
from service.api.http.problems import NOT_FOUND, Problem
from service.api.http.responses import json_response
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.node import RootAnswer

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "svg": "image/svg+xml",
}
"""The kinds of files that are served, by the ends of their names."""

_COMMENT = re.compile(rb"^[ \t]*//.*$", re.MULTILINE)
"""A line of a script with nothing but a comment. It is served as an empty line: the others keep their numbers. Of the
vendored scripts it is the line that names a source map, which is not served."""

_LINKS = ", ".join(
    (
        '</openapi.json>; rel="service-desc"; type="application/json"',
        '</docs>; rel="service-doc"; type="text/html"',
        '</health>; rel="status"; type="application/json"',
    )
)
"""The relations are those of RFC 8631."""


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """A file as it is sent; `tag` changes with its content."""

    media_type: str
    body: bytes
    zipped: bytes
    tag: str


class ConsoleRoutes:
    """`/` and `/console`, open without a key. With `served=False` there is no console."""

    def __init__(self, *, served: bool) -> None:
        self._served = served

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.root),
            web.get("/console", self.page),
            web.get("/console/", self.to_page),
            web.get("/console/{path:.+}", self.file),
        ]

    @operation(
        "docs",
        "Find the way",
        responses={
            200: ResponseSpec("Where everything is.", RootAnswer),
            303: ResponseSpec("To the console, for browsers."),
        },
    )
    async def root(self, request: web.Request) -> web.Response:
        """The paths of the console, of the documentation and of the health of the node. A request that accepts
        `text/html` is led to the console, or without one to the documentation."""
        headers = {"Link": _LINKS, "Vary": "Accept"}
        if "text/html" in ",".join(request.headers.getall("Accept", [])).lower():
            # Relative: it also leads the right way behind a proxy with a prefix.
            return web.Response(status=303, headers={**headers, "Location": "console" if self._served else "docs"})
        paths = {**RootAnswer.example, "console": "/console" if self._served else None}
        return json_response(paths, headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        return self._answer(request, "index.html")

    async def to_page(self, _request: web.Request) -> web.Response:
        self._check()
        return web.Response(status=308, headers={"Location": "../console"})

    async def file(self, request: web.Request) -> web.Response:
        return self._answer(request, request.match_info["path"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        self._check()
        file = console_files().get(name)
        if file is None:
            raise Problem(NOT_FOUND, "There is no such file.")
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        tag = f"{file.tag}-gzip" if zipped else file.tag
        headers = {
            "ETag": f'"{tag}"',
            # A browser asks again each time, and gets 304: after an update it never mixes two versions.
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Vary": "Accept-Encoding",
        }
        if is_not_modified(request, tag):
            return web.Response(status=304, headers=headers)
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=file.zipped if zipped else file.body,
            headers=headers,
            content_type=file.media_type,
            charset="utf-8",
        )

    def _check(self) -> None:
        if not self._served:
            raise Problem(NOT_FOUND, "The console is switched off: HEYDAY_CONSOLE=off.")


@cache
def console_files() -> dict[str, ConsoleFile]:
    """Every file by its path. Read at the first request: a node whose console is never opened does not keep it."""
    return dict(_read(resources.files("service.api") / "console", ""))


def _read(folder: Traversable, path: str) -> Iterator[tuple[str, ConsoleFile]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{path}{entry.name}/")
        elif (media_type := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            body = entry.read_bytes()
            if media_type == "text/javascript":
                body = _COMMENT.sub(b"", body)
            tag = hashlib.blake2b(body, digest_size=12).hexdigest()
            yield f"{path}{entry.name}", ConsoleFile(media_type, body, gzip.compress(body, mtime=0), tag)
