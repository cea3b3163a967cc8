"""Reads the meaning of a reply of a mail server, by its code (RFC 5321, 4.2) and its enhanced code (RFC 3463).

docs/explanation/delivery_attempts.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from service.adapters.email.answers import Verdict, first_line, short_id
from service.domain.messages import Answer, Outcome, UnavailableReason


class Stage(Enum):
    """The command that a reply is for."""

    CONNECT = auto()
    """The greeting, EHLO and STARTTLS."""
    LOGIN = auto()
    SENDER = auto()
    RECIPIENT = auto()
    DATA = auto()
    """The command, before the message."""
    CONTENT = auto()
    """The message, up to its final dot. Only here a message is accepted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the server; `text` may have several lines."""

    stage: Stage
    code: int
    text: str


NO_CREDENTIALS = frozenset({530, 534, 535, 538})
"""Authentication required, too weak, failed, or without encryption (RFC 4954, 6)."""

_CREDENTIAL_DETAILS = frozenset({8, 9, 11, 13, 14})
"""X.7.n: credentials invalid, mechanism too weak, encryption needed, account disabled, no trust (IANA, RFC 5248)."""

ABOUT_THE_SERVER = frozenset({500, 501, 502, 503, 504, 521})
"""A command that is not understood, and a host that takes no mail (RFC 7504)."""

_THROTTLES = frozenset({(4, 5), (7, 28)})
"""X.4.5 mail system congestion, and X.7.28 mail flood (RFC 3463, IANA)."""

_ENHANCED = re.compile(r"\s*[245]\.(\d{1,3})\.(\d{1,3})(?!\d)")
_QUEUED = re.compile(r"queued as ([^\s<>]+)", re.IGNORECASE)
_IS_THROTTLE = re.compile(r"throttl|too many (?:messages|mails|emails)|rate (?:limit|exceeded)", re.IGNORECASE)
_IS_RELAYING = re.compile(r"relay", re.IGNORECASE)


def verdict_of(reply: Reply) -> Verdict:
    """Return what a reply says about the message, or about the server."""
    code, stage = reply.code, reply.stage
    match = _ENHANCED.match(reply.text)
    subject, detail = (int(match[1]), int(match[2])) if match else (0, 0)
    if stage is Stage.CONTENT and 200 <= code < 300:
        return Verdict.ACCEPTED
    if (subject, detail) in _THROTTLES or (400 <= code < 500 and _IS_THROTTLE.search(reply.text)):
        return Verdict.THROTTLED
    if not 500 <= code < 600:
        return Verdict.UNAVAILABLE
    if stage is Stage.LOGIN or code in NO_CREDENTIALS or (subject == 7 and detail in _CREDENTIAL_DETAILS):
        return Verdict.NOT_AUTHORISED
    if stage is Stage.RECIPIENT and subject in {0, 7} and _IS_RELAYING.search(reply.text):
        return Verdict.NOT_AUTHORISED
    # Who connects and who sends is the same for all messages; so is the mail system (X.3) and the protocol (X.5).
    about_all = stage in {Stage.CONNECT, Stage.SENDER} or code in ABOUT_THE_SERVER or subject in {3, 5}
    return Verdict.UNAVAILABLE if about_all else Verdict.REFUSED


def answer_to(reply: Reply, *, duration: float, private: Iterable[str] = ()) -> Answer:
    """The result of an attempt that ended with this reply after `duration` seconds."""
    verdict = verdict_of(reply)
    if verdict is Verdict.ACCEPTED:
        queued = _QUEUED.search(reply.text)
        found = short_id(queued[1] if queued else first_line(reply.text.encode("utf-8", "replace"), private))
        return Answer(Outcome.ACCEPTED, duration, reply.code, provider_id=found)
    error = f"{reply.code} {first_line(reply.text.encode('utf-8', 'replace'), private)}".rstrip()
    if verdict is Verdict.REFUSED:
        return Answer(Outcome.PERMANENT_FAILURE, duration, reply.code, error)
    throttled = verdict is Verdict.THROTTLED
    not_authorised = verdict is Verdict.NOT_AUTHORISED
    reason = UnavailableReason.NOT_AUTHORISED if not_authorised else UnavailableReason.REFUSING
    return Answer(Outcome.TRANSIENT_FAILURE, duration, reply.code, error, throttled=throttled, unavailable=reason)
