"""Answers what is not HTTP, or too large for it, with a problem document, like every other request that is wrong.

The framework's own answer is plain text, and its log line has the client's address and the bytes that were sent.
"""

from __future__ import annotations

import uuid

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from actors.api.problems import HEADERS_TOO_LARGE, MALFORMED, Problem, document
from actors.api.security import HEADERS

log = structlog.get_logger(__name__)


class Runner(web.AppRunner):
    """Runs the application on connections that answer so."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)  # noqa: SLF001 - the framework has no other way to name the class of its connections


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Of the errors that come here the parser's are the client's doing."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        problem = _problem(exc)
        log.info("request_not_http", reason=type(exc).__name__, status=problem.kind.status)
        request_id = uuid.uuid4().hex
        answer = document(problem, path="/", request_id=request_id)
        answer.headers.update({**HEADERS, "X-Request-ID": request_id, "Server": "heyday"})
        answer.force_close()
        return answer


def _problem(error: HttpProcessingError) -> Problem:
    if isinstance(error, LineTooLong):
        return Problem(HEADERS_TOO_LARGE, "The request's first line, or one of its headers, has too many bytes.")
    return Problem(MALFORMED, "The request is not HTTP/1.1 as it must be.")
