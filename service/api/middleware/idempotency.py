"""Idempotency-Key: a POST that is sent again under the same key is not done again, but gets the same response.

The rules are those of draft-ietf-httpapi-idempotency-key-header. Responses are kept for 24 hours, also those of refused
requests. A route that creates a user or redrives a message keeps its response in the transaction of that change: after
a crash between the two, the same request would be refused as a conflict with itself. The one that creates a user also
takes the key in it, so that the request is one commit. Other responses are kept here.
Nothing is kept where the server or its load was the reason: such a request may be sent again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.http.body import read_body
from service.api.http.problems import IN_PROGRESS, KEY_REUSED, MALFORMED, FieldError, Problem, invalid_fields
from service.api.middleware.clients import KEY, is_guarded
from service.api.openapi.decorators import is_webhook, keeps_response
from service.ports import CreatedUser, Idempotency, IdempotencyKey, Keep, KeptResponse, Reserved, Unavailable

log = structlog.get_logger(__name__)

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("Content-Type", "Location", "ETag")
_NOT_KEPT = frozenset({408, 413, 429})
_STREAMED = ":import"
_REPLAYED = {"Idempotency-Replayed": "true"}

_KEY_OF = web.RequestKey("idempotency_key", IdempotencyKey)
_RESERVED = web.RequestKey("reserved", Reserved)
_CREATED = web.RequestKey("created", CreatedUser)
_KEPT = web.RequestKey("kept", bool)
_IN_USE = web.RequestKey("in_use", bool)
_STORE = web.RequestKey("idempotency", Idempotency)


def key_of(request: web.Request) -> IdempotencyKey | None:
    """The key of a request, for a route that takes it in its own transaction."""
    return request.get(_KEY_OF)


def reservation(request: web.Request) -> Reserved | None:
    """The reserved key of a request, for a route that keeps its response in its own transaction."""
    return request.get(_RESERVED)


def created_before(request: web.Request) -> CreatedUser | None:
    """The user that an earlier request under this key created. The route shows it, and does nothing else."""
    return request.get(_CREATED)


def keep_of(request: web.Request, response: web.Response) -> Keep | None:
    """A response to keep in the transaction of the work; None when the request has no key."""
    reserved = reservation(request)
    return None if reserved is None else _keep(reserved, response)


def mark_in_use(request: web.Request) -> None:
    """Note that the work was not done because another request had the key. Such a response is never kept."""
    request[_IN_USE] = True


def mark_kept(request: web.Request) -> None:
    """Note that the route has kept the response."""
    request[_KEPT] = True


async def note_resource(request: web.Request, path: str) -> None:
    """Note the user or the suppression whose personal data the response shows: it is erased with them.

    Call it before reading them, if their id is known. Otherwise they could be erased between the two, and the response
    would be kept.
    Raises Unavailable.
    """
    if (reserved := reservation(request)) is not None:
        await request[_STORE].note_resource(reserved, path)


def replay_responses(idempotency: Idempotency) -> Middleware:
    """The middleware, for this store. An import is not kept: its rows are idempotent by their addresses."""

    @web.middleware
    async def replayed(request: web.Request, handler: Handler) -> web.StreamResponse:
        values = request.headers.getall("Idempotency-Key", [])
        if not values or request.method != "POST" or not is_guarded(request) or request.path.endswith(_STREAMED):
            return await handler(request)
        if is_webhook(request.match_info.handler):  # repeating one is harmless
            return await handler(request)
        key = hashlib.sha256(f"{request[KEY]}\0{_checked(values)}".encode()).digest()
        fingerprint = await _fingerprint(request)
        answered: web.StreamResponse | None = None
        if keeps_response(request.match_info.handler):
            request[_KEY_OF] = IdempotencyKey(key, fingerprint)
            answered = await handler(request)
            if request.get(_KEPT) or not _is_kept(answered):
                return answered
        # Either the work is still to be done, or it was refused: the key was in use, or the request is wrong.
        found = await idempotency.reserve(key, fingerprint)
        match found:
            case None:
                raise _in_progress()
            case KeptResponse(fingerprint=before) if before != fingerprint:
                error = FieldError("Idempotency-Key", "This key was used with another request.", "header")
                raise invalid_fields([error], KEY_REUSED)
            case KeptResponse(status=None):
                raise _in_progress()
            case KeptResponse(created=CreatedUser() as created):
                request[_CREATED] = created
                response = await handler(request)
                response.headers.update(_REPLAYED)
                return response
            case KeptResponse(status=int(status), headers=headers, body=body):
                return web.Response(status=status, body=body, headers={**headers, **_REPLAYED})
            case Reserved():
                request[_RESERVED] = found
                request[_STORE] = idempotency
                return await _first(request, handler, idempotency, found, answered)
        raise AssertionError("every result of reserve is handled above")

    return replayed


async def _first(
    request: web.Request,
    handler: Handler,
    idempotency: Idempotency,
    reserved: Reserved,
    answered: web.StreamResponse | None,
) -> web.StreamResponse:
    try:
        response = await handler(request) if answered is None else answered
    except BaseException:
        await idempotency.release(reserved)
        raise
    if request.get(_KEPT):
        return response
    try:
        if isinstance(response, web.Response) and _is_kept(response) and not request.get(_IN_USE):
            await idempotency.keep(_keep(reserved, response))
        else:
            await idempotency.release(reserved)
    except Unavailable as error:
        # Nothing was changed, so the request may be sent again once the reservation has expired.
        log.warning("response_not_kept", reason=error.reason)
    return response


def _is_kept(response: web.StreamResponse) -> bool:
    return response.status < 500 and response.status not in _NOT_KEPT


def _keep(reserved: Reserved, response: web.Response) -> Keep:
    headers: Mapping[str, str] = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    body = response.body if isinstance(response.body, bytes) else b""
    return Keep(reserved, response.status, headers, body)


def _checked(values: list[str]) -> str:
    # The draft writes the value as a quoted string; most clients do not.
    key = values[0].strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if len(values) > 1 or not _KEY.fullmatch(key):
        error = FieldError("Idempotency-Key", "Expected one value of 1 to 255 visible ASCII characters.", "header")
        raise invalid_fields([error], MALFORMED)
    return key


async def _fingerprint(request: web.Request) -> bytes:
    digest = hashlib.sha256(f"{request.method} {request.raw_path}\n{request.content_type}\n".encode())
    digest.update(await read_body(request))
    return digest.digest()


def _in_progress() -> Problem:
    return Problem(
        IN_PROGRESS, "A request with this Idempotency-Key is still being worked on.", headers={"Retry-After": "1"}
    )
