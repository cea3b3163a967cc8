"""The middleware that turns every exception of a handler into a problem document."""

from __future__ import annotations

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from service.api.http.problem_responses import document, problem_of_http
from service.api.http.problems import BUG, BUSY, IN_PROGRESS, INVALID, UNAVAILABLE, Problem
from service.api.middleware.tracing import REQUEST_ID
from service.domain.zones import TZDATA_VERSION, UnknownZone
from service.ports import Busy, ReservationLost, RowRefused, Unavailable

log = structlog.get_logger(__name__)


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        error.__traceback__ = (
            None  # aiohttp's frame refers to the error, which would keep both until the collector runs
        )
        if error.status == 405 and request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": f"{error.headers['Allow']},OPTIONS"})
        return _document(request, problem_of_http(error))
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # the client has left: no answer can reach it, and nothing is wrong here
        return _error_response(request, error)


def problem_of(error: Exception) -> Problem:
    """The problem document for an exception. An unexpected one is a bug."""
    match error:
        case Problem():
            return error
        case Unavailable():
            return Problem(UNAVAILABLE, f"{error.system} is away for the moment.", headers={"Retry-After": "2"})
        case UnknownZone():
            # A node with newer zone data stored this zone: another node can do what was asked.
            detail = f"This node's zone data, {TZDATA_VERSION}, has no zone {error.name!r}."
            return Problem(UNAVAILABLE, detail, headers={"Retry-After": "2"})
        case RowRefused():
            return Problem(INVALID, "The database does not take these values.")
        case ReservationLost():
            return Problem(IN_PROGRESS, "Another request has this Idempotency-Key.", headers={"Retry-After": "1"})
        case Busy():
            return Problem(BUSY, str(error), headers={"Retry-After": "2"})
        case _:
            return Problem(BUG, "Something went wrong here, not with the request.")


def _error_response(request: web.Request, error: Exception) -> web.Response:
    # Not in the frame that caught the error: the error refers to that frame. If the frame referred to the error too,
    # both would stay, with the whole request, until the collector runs.
    problem = problem_of(error)
    if isinstance(error, RowRefused):
        # The API accepts what the schema of the database refuses: an operator should know.
        log.warning("rows_refused", rows=1, reason=error.reason)
    if problem.kind is BUG:
        log.exception("request_failed", route=request.match_info.route.name)
    return _document(request, problem)


def _document(request: web.Request, problem: Problem) -> web.Response:
    return document(problem, path=request.rel_url.raw_path, request_id=request[REQUEST_ID])
