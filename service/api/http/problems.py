"""Every error that the API answers with, as a problem document (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.api.http.json_text import encode


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: `type` in the document ends with its slug, `meaning` is what /problems/{slug} says."""

    slug: str
    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        """The path of the page that explains it, as in problem documents."""
        return f"/problems/{self.slug}" if self.slug else "about:blank"

    def example(self, path: str, errors: Sequence[FieldError] = ()) -> dict[str, object]:
        """A problem document of this kind, with these errors."""
        shown: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": f"{errors[0].field}: {errors[0].message}" if errors else self.meaning,
            "instance": path,
            "requestId": "9f1c0c3e4e6b4d0d8a52f6f3b1a7c2d4",
        }
        return {**shown, "errors": [error.as_json() for error in errors]} if errors else shown


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one value. `place` is its part of the request: `body`, `query` or `header`."""

    field: str
    message: str
    place: str = "body"

    def as_json(self) -> dict[str, str]:
        """The error as a problem document has it; the pointer is a JSON pointer (RFC 6901) as a URI fragment."""
        pointer = "#/" + self.field.replace("~", "~0").replace("/", "~1").replace(".", "/") if self.field else "#"
        where = {"body": "pointer", "query": "parameter", "header": "header"}[self.place]
        return {"field": self.field, "message": self.message, where: pointer if where == "pointer" else self.field}


_WITH_ERRORS = frozenset({400, 422})


class Problem(Exception):
    """A request that cannot be done. The response is a problem document; `members` are added to the standard ones.

    A client finds `errors` in every problem about what it sent: without one for a field, there is one for the whole.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors) or ((FieldError("", detail),) if kind.status in _WITH_ERRORS else ())
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def result_line(line: int | None, problem: Problem) -> bytes:
    """The result of a line that an import refuses; `line` is None for the whole import."""
    number = {} if line is None else {"line": line}
    errors = {"errors": [error.as_json() for error in problem.errors]} if problem.errors else {}
    kind = problem.kind
    return encode({**number, "status": kind.status, "type": kind.type, "detail": problem.detail, **errors}) + b"\n"


MALFORMED = Kind(
    "malformed-request", 400, "Malformed request", "The request is not HTTP, or its body not JSON in UTF-8, or cut off."
)
UNAUTHORIZED = Kind("unauthorized", 401, "API key needed", "Send `Authorization: Bearer <key>` with a valid key.")
NOT_AUTHENTIC = Kind(
    "webhook-not-authentic", 401, "Webhook not authentic", "Its secret or signature is wrong, or its timestamp is old."
)
FORBIDDEN = Kind(
    "forbidden",
    403,
    "Role not sufficient",
    "The role of the key may not do this; `requiredRole` names the least that may.",
)
NOT_FOUND = Kind("not-found", 404, "Not found", "There is no such resource, or no longer.")
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed", 405, "Method not allowed", "The resource does not know this method; see the header Allow."
)
TIMEOUT = Kind("request-timeout", 408, "Request timeout", "The body did not arrive in time.")
EMAIL_TAKEN = Kind(
    "email-taken", 409, "Email address taken", "Another user has this address; letter case makes no difference."
)
EXTERNAL_ID_TAKEN = Kind("external-id-taken", 409, "External id taken", "Another user has this externalId.")
NOT_REDRIVABLE = Kind(
    "not-redrivable",
    409,
    "Not redrivable",
    "The message is not failed, unknown or expired, its user is deleted, or its occasion is not active.",
)
OCCASION_IN_USE = Kind("occasion-in-use", 409, "Occasion in use", "The occasion has dates or messages.")
LIMIT_REACHED = Kind("limit-reached", 409, "Limit reached", "There are as many of these as there may be.")
IN_PROGRESS = Kind(
    "request-in-progress", 409, "Request in progress", "A request with this Idempotency-Key is still being worked on."
)
CHANGED = Kind(
    "version-mismatch", 412, "Changed meanwhile", "If-Match or If-None-Match forbids a change of the present version."
)
TOO_LARGE = Kind("too-large", 413, "Body too large", "The body, or a line of an import, is larger than is accepted.")
MEDIA_TYPE = Kind("unsupported-media-type", 415, "Unsupported media type", "The body is not of a type known here.")
INVALID = Kind("invalid-fields", 422, "Invalid fields", "Some fields are not valid; `errors` names them.")
INVALID_QUERY = Kind("invalid-query", 422, "Invalid query", "Some query parameters are not valid; `errors` names them.")
KEY_REUSED = Kind(
    "idempotency-key-reused", 422, "Idempotency-Key reused", "The key was used before with another request."
)
HEADERS_TOO_LARGE = Kind(
    "headers-too-large", 431, "Headers too large", "The path with its query, or a header, has more than 8190 bytes."
)
TOO_MANY = Kind("too-many-requests", 429, "Too many requests", "The client is over its rate; see Retry-After.")
BUG = Kind("internal-error", 500, "Internal error", "A bug of heyday. The log has more under the request id.")
UNAVAILABLE = Kind(
    "unavailable", 503, "Temporarily unavailable", "A server that is needed is away; try again, see Retry-After."
)
BUSY = Kind("busy", 503, "Busy", "Too much is being worked on; nothing was done. Try again, see Retry-After.")

KINDS: dict[str, Kind] = {
    kind.slug: kind
    for kind in (
        MALFORMED, UNAUTHORIZED, NOT_AUTHENTIC, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, TIMEOUT, EMAIL_TAKEN,
        EXTERNAL_ID_TAKEN, NOT_REDRIVABLE, OCCASION_IN_USE, LIMIT_REACHED,
        IN_PROGRESS, CHANGED, TOO_LARGE, MEDIA_TYPE, INVALID, INVALID_QUERY, KEY_REUSED, TOO_MANY, HEADERS_TOO_LARGE,
        BUG, UNAVAILABLE, BUSY,
    )
}  # fmt: skip


MAX_ERRORS = 20
"""Errors of one problem document: a body of unknown fields must not become a much larger answer."""


def invalid_fields(errors: Sequence[FieldError], kind: Kind = INVALID) -> Problem:
    """The problem for these fields of a body, or of another part of the request. It has the first of them."""
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    if len(errors) > MAX_ERRORS:
        more = f" ({len(errors) - 1} more, the first {MAX_ERRORS} in `errors`)"
    detail = f"{first.field}: {first.message}{more}" if first.field else f"{first.message}{more}"
    return Problem(kind, detail, errors=errors[:MAX_ERRORS])


def invalid_parameter(name: str, message: str) -> Problem:
    """The problem for one query parameter."""
    return invalid_fields([FieldError(name, message, "query")], INVALID_QUERY)
