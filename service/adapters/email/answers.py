"""Reads the meaning of an HTTP answer of the email service.

docs/explanation/delivery_attempts.md has the table.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from http import HTTPStatus

import orjson

from service.domain.messages import Answer, Outcome, UnavailableReason

LONGEST_RETRY_AFTER = timedelta(hours=24)
"""A service that asks for more is asked again after a day: a wrong header must not park a greeting for ever."""

ABOUT_THE_SERVICE = frozenset({401, 402, 403, 404, 405, 407, 408, 409, 425, 429})
"""4xx that say nothing about the message: they are about our credentials, the URL, or the service at this moment."""

SAYS_IT_TOOK_NOTHING = frozenset({501, 503, 505})
"""5xx by which the service declines the request. After the others it may have taken the message and failed then."""

LONGEST_REMARK = 200
"""Characters kept of what the service said."""

MAX_LEVELS = 8
"""Levels of a JSON document in which words for people are looked for. Known errors have up to four."""

LONGEST_ID = 200
"""Characters kept of the provider's own id of a message."""

_ID_NAMES = ("messageId", "message_id", "MessageID", "MessageId", "id")
_REMARK_NAMES = ("message", "error", "detail", "title", "Message", "errors", "description", "reason")
# It begins at the beginning of a word only: else a long word without an @ is looked at from each of its characters.
_ADDRESS = re.compile(r"(?<![^\s<>()\[\]\",;:])[^\s<>()\[\]\",;:]+(?:@|%40)[^\s<>()\[\]\"',;:!?]+")

_SECONDS = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_RENAMED = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
"""Phrases of RFC 9110 that Python has from 3.13 on."""

_PHRASES = {status.value: f"{status.value} {_RENAMED.get(status, status.phrase)}" for status in HTTPStatus}


class Verdict(Enum):
    """The meaning of an answer whose status code does not tell it."""

    ACCEPTED = auto()
    """An earlier request with the same key was accepted."""
    REFUSED = auto()
    """The service refuses this message."""
    THROTTLED = auto()
    """The service asks for fewer calls."""
    NOT_AUTHORISED = auto()
    """The answer is about our credentials, our account or our sender."""
    UNAVAILABLE = auto()
    """The answer is about the service, or about what every message has in common."""


_OUTCOMES = {
    Verdict.ACCEPTED: Outcome.ACCEPTED,
    Verdict.REFUSED: Outcome.PERMANENT_FAILURE,
    Verdict.THROTTLED: Outcome.TRANSIENT_FAILURE,
    Verdict.NOT_AUTHORISED: Outcome.TRANSIENT_FAILURE,
    Verdict.UNAVAILABLE: Outcome.TRANSIENT_FAILURE,
}

_REASONS = {
    Verdict.NOT_AUTHORISED: UnavailableReason.NOT_AUTHORISED,
    Verdict.UNAVAILABLE: UnavailableReason.REFUSING,
}


def answer_to(
    status_code: int,
    headers: Mapping[str, str],
    *,
    duration: float,
    body: bytes = b"",
    private: Iterable[str] = (),
    verdict: Verdict | None = None,
    id_header: str | None = None,
) -> Answer:
    """The result of an attempt that was answered with `status_code` after `duration` seconds.

    `body` is what was read of the body. Nothing in `private`, and no address, gets into the description. A `verdict`
    goes before the status code. `id_header` names the header with the provider's id of the message.
    """
    outcome = outcome_of(status_code) if verdict is None else _OUTCOMES[verdict]
    if outcome is Outcome.ACCEPTED:
        found = short_id(headers.get(id_header, "")) if id_header else provider_id(body)
        return Answer(outcome, duration, status_code, provider_id=found)
    # The phrase is the standard's: the service's own may repeat the address.
    error = _PHRASES.get(status_code, str(status_code))
    if remark := first_line(body, private):
        error = f"{error}: {remark}"
    if outcome is not Outcome.TRANSIENT_FAILURE:
        return Answer(outcome, duration, status_code, error)
    wait = retry_after(headers)
    throttled = status_code == 429 or (status_code == 503 and wait is not None)
    if verdict is not None:
        throttled = verdict is Verdict.THROTTLED
    reason = _REASONS.get(verdict) if verdict is not None else None
    declined = throttled or verdict is Verdict.NOT_AUTHORISED
    return Answer(
        outcome,
        duration,
        status_code,
        error,
        wait,
        throttled=throttled,
        unavailable=reason,
        in_doubt=not declined and may_have_taken(status_code),
    )


def may_have_taken(status_code: int) -> bool:
    """True if a service that answers so may have taken the message.

    A gateway answers 502 and 504 for a server that got the request. 409 may say that a request with the same key is
    under way.
    """
    return status_code == 409 or (status_code >= 500 and status_code not in SAYS_IT_TOOK_NOTHING)


def outcome_of(status_code: int) -> Outcome:
    """Return what a status code says about the message, if the service accepts others."""
    if 200 <= status_code < 300:
        return Outcome.ACCEPTED
    if 400 <= status_code < 500 and status_code not in ABOUT_THE_SERVICE:
        return Outcome.PERMANENT_FAILURE
    if status_code < 200:
        # 101 answers a question that was not asked; its sender may have read the message.
        return Outcome.UNKNOWN
    # A redirect is not followed: it says that the URL is wrong. Codes from 600 on are read as 5xx (RFC 9110, 15).
    return Outcome.TRANSIENT_FAILURE


def provider_id(body: bytes) -> str | None:
    """Return the service's own id of the message, if the body is a JSON object with one."""
    match parsed_json(body):
        case dict(fields):
            for name in _ID_NAMES:
                match fields.get(name):
                    case None | bool():
                        pass
                    case str(value) | int(value) if text := short_id(str(value)):
                        return text
    return None


def short_id(text: str) -> str | None:
    """The id as it is kept; None if it is empty."""
    return _printable(text)[:LONGEST_ID] or None


def basic(user: str, password: str) -> str:
    """The value of a header `Authorization` for a user and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def first_line(body: bytes, private: Iterable[str] = ()) -> str:
    """Return the first line of what the service said; empty without one.

    Addresses, what is `private`, and the part of a private address before the @ are removed.
    """
    text = _remark(parsed_json(body)) or body.decode("utf-8", "replace")
    line = next((line for line in map(_printable, text.splitlines()) if line), "")
    secrets = sorted((one for one in private if one), key=len, reverse=True)
    for secret in secrets:
        line = re.sub(_pattern(secret), "[removed]", line, flags=re.IGNORECASE)
    line = _ADDRESS.sub("[address]", line)
    for local in filter(None, (secret.rpartition("@")[0] for secret in secrets)):
        line = re.sub(_word(local), "[removed]", line, flags=re.IGNORECASE)
    return line if len(line) <= LONGEST_REMARK else f"{line[: LONGEST_REMARK - 1]}…"


def _pattern(secret: str) -> str:
    """A pattern of the secret; of a short name in ASCII only as a word, or little of the line would be left."""
    return _word(secret) if len(secret) <= 2 and secret.isascii() else re.escape(secret)


def _word(secret: str) -> str:
    return rf"(?<!\w){re.escape(secret)}(?!\w)"


def parsed_json(body: bytes) -> object:
    """The JSON object or array in the body; None without one."""
    try:
        return orjson.loads(body) if body.lstrip()[:1] in (b"{", b"[") else None
    except ValueError:
        return None


def _remark(value: object, levels: int = MAX_LEVELS) -> str:
    """The words for people in a JSON document, as the common forms of error objects have them."""
    if levels == 0:
        return ""
    match value:
        case str():
            return value
        case [first, *_]:
            return _remark(first, levels - 1)
        case dict():
            return next((found for name in _REMARK_NAMES if (found := _remark(value.get(name), levels - 1))), "")
    return ""


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text).strip()


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the service asks us to wait, between nothing and LONGEST_RETRY_AFTER; None if it does not say.

    A date is taken relative to the answer's own Date, so that neither clock has to be right; without a Date
    there is only this machine's clock to compare it with.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        # min() comes first: a timedelta overflows, a float does not.
        return timedelta(seconds=max(0.0, min(float(value), LONGEST_RETRY_AFTER.total_seconds())))
    at = _http_date(value)
    if at is None:
        return None
    now = _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return max(timedelta(), min(at - now, LONGEST_RETRY_AFTER))


def _http_date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
