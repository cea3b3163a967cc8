"""The middleware that turns whatever a handler raises into a problem document: no request gets anything else."""

from __future__ import annotations

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from actors.api.problems import BUG, BUSY, UNAVAILABLE, Problem, document, of_http
from actors.api.tracing import REQUEST_ID
from actors.runtime import ActorError, ActorFailed
from service.domain.zones import TZDATA_VERSION, UnknownZone
from service.ports import Unavailable

log = structlog.get_logger(__name__)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        error.__traceback__ = None  # aiohttp's frame names the error, which would keep both until the collector comes
        if error.status == 405 and request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": f"{error.headers['Allow']},OPTIONS"})
        return _document(request, of_http(error))
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # the client has gone: nobody is there to be answered, and nothing is wrong here
        return _answer(request, error)


def of_error(error: Exception) -> Problem:
    """The problem that an exception comes to; what nobody expected is a bug."""
    match error:
        case Problem():
            return error
        case Unavailable():
            return Problem(UNAVAILABLE, f"{error.system} is away for the moment.", headers={"Retry-After": "2"})
        case UnknownZone():
            # Of a user whom a node with newer zone data took: another node can do what was asked.
            detail = f"This node's zone data, {TZDATA_VERSION}, has no zone {error.name!r}."
            return Problem(UNAVAILABLE, detail, headers={"Retry-After": "2"})
        case ActorFailed():
            return Problem(BUSY, "The actor failed on this request; it is started again.", headers={"Retry-After": "2"})
        case ActorError():
            return Problem(BUSY, "The actor takes no requests at the moment.", headers={"Retry-After": "1"})
        case _:
            return Problem(BUG, "Something went wrong here, not with the request.")


def _answer(request: web.Request, error: Exception) -> web.Response:
    # Not in the frame that caught it: the error names that one, and if it named the error, both would stay, with the
    # whole request, until the collector comes.
    problem = of_error(error)
    if problem.kind is BUG:
        log.exception("request_failed", route=request.match_info.route.name)
    return _document(request, problem)


def _document(request: web.Request, problem: Problem) -> web.Response:
    return document(problem, path=request.rel_url.raw_path, request_id=request[REQUEST_ID])
