"""Idempotency-Key: a POST that is sent again under the same key is not done again, but answered as before.

As draft-ietf-httpapi-idempotency-key-header has it. Answers are kept for 24 hours, also of requests that were refused.
Nothing is kept where the server or its load was the reason: such a request may be tried again.
"""

from __future__ import annotations

import hashlib
import re

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from actors.api.body import read
from actors.api.clients import KEY, is_guarded
from actors.api.problems import IN_PROGRESS, KEY_REUSED, MALFORMED, FieldError, Problem
from service.ports import Idempotency, KeptAnswer, Reserved, Unavailable

log = structlog.get_logger(__name__)

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("Content-Type", "Location", "ETag")
_NOT_KEPT = frozenset({408, 413, 429})
_STREAMED = ":import"


def keep_answers(idempotency: Idempotency) -> Middleware:
    """The middleware, for this store. An import is not kept: its rows are idempotent by their addresses."""

    @web.middleware
    async def kept(request: web.Request, handler: Handler) -> web.StreamResponse:
        values = request.headers.getall("Idempotency-Key", [])
        if not values or request.method != "POST" or not is_guarded(request) or request.path.endswith(_STREAMED):
            return await handler(request)
        key = hashlib.sha256(f"{request[KEY]}\0{_checked(values)}".encode()).digest()
        found = await idempotency.reserve(key, fingerprint := await _fingerprint(request))
        match found:
            case None:
                raise _in_progress()
            case KeptAnswer(fingerprint=before) if before != fingerprint:
                raise Problem(KEY_REUSED, "This Idempotency-Key was used with another request.")
            case KeptAnswer(status=None):
                raise _in_progress()
            case KeptAnswer(status=int(status), headers=headers, body=body):
                return web.Response(status=status, body=body, headers={**headers, "Idempotency-Replayed": "true"})
            case Reserved():
                return await _first(request, handler, idempotency, found)
        raise AssertionError("every answer of reserve is looked at above")

    return kept


async def _first(
    request: web.Request, handler: Handler, idempotency: Idempotency, reserved: Reserved
) -> web.StreamResponse:
    try:
        response = await handler(request)
    except BaseException:
        await idempotency.release(reserved)
        raise
    try:
        if not isinstance(response, web.Response) or response.status >= 500 or response.status in _NOT_KEPT:
            await idempotency.release(reserved)
        else:
            await idempotency.keep(
                reserved,
                status=response.status,
                headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
                body=response.body if isinstance(response.body, bytes) else b"",
                resource=response.headers.get("Location"),
            )
    except Unavailable as error:
        # What was done is done, and is answered; the key stays taken until the request counts as dead.
        log.warning("answer_not_kept", reason=error.reason)
    return response


def _checked(values: list[str]) -> str:
    # The draft writes the value as a quoted string; most clients do not.
    key = values[0].strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if len(values) > 1 or not _KEY.fullmatch(key):
        error = FieldError("Idempotency-Key", "Expected one value of 1 to 255 visible ASCII characters.", "header")
        raise Problem(MALFORMED, f"{error.field}: {error.message}", errors=[error])
    return key


async def _fingerprint(request: web.Request) -> bytes:
    digest = hashlib.sha256(f"{request.method} {request.raw_path}\n{request.content_type}\n".encode())
    digest.update(await read(request))
    return digest.digest()


def _in_progress() -> Problem:
    return Problem(
        IN_PROGRESS, "A request with this Idempotency-Key is still being worked on.", headers={"Retry-After": "1"}
    )
