"""ETag, If-Match and If-None-Match (RFC 9110, 13.1): a resource's version is its strong entity tag."""

from __future__ import annotations

import re

from aiohttp import web

from service.api.http.problems import CHANGED, Problem

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')

NO_VERSION = 0
"""A version that no row has: the value of an entity tag that heyday never returned."""


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


def if_match_versions(request: web.Request) -> frozenset[int] | None:
    """The versions that If-Match accepts; None: any. Weak tags and strange ones match no version."""
    values = request.headers.getall("If-Match", [])
    # An asterisk in a tag is a character of the tag.
    if not values or "*" in _TAG.sub("", text := ", ".join(values)):
        return None
    tags = {tag for weak, tag in _TAG.findall(text) if not weak}
    return frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdecimal() and len(tag) < 10) or frozenset(
        {NO_VERSION}
    )


def is_not_modified(request: web.Request, version: int | str) -> bool:
    """True if If-None-Match says that the client has this version, or the content with this tag."""
    text = ", ".join(request.headers.getall("If-None-Match", []))
    return creates_only(request) or str(version) in {tag for _, tag in _TAG.findall(text)}


def refuse_unless_new(request: web.Request, version: int | None) -> None:
    """Raise Problem if If-None-Match forbids a change: `*` where there is a version, or a tag that is this version's.

    `If-None-Match: *` with PUT means: create it, and replace nothing (RFC 9110, 13.1.2).
    """
    if version is not None and is_not_modified(request, version):
        raise Problem(
            CHANGED,
            f"If-None-Match forbids a change of version {etag(version)}, which is the present one.",
            headers={"ETag": etag(version)},
        )


def creates_only(request: web.Request) -> bool:
    """True for a request that may replace nothing: with `If-None-Match: *`."""
    return ", ".join(request.headers.getall("If-None-Match", [])).strip() == "*"


def version_mismatch(version: int) -> Problem:
    """The problem of a client that knows another version than the one there is."""
    return Problem(
        CHANGED,
        f"The user is of version {etag(version)} now: read it and decide again.",
        headers={"ETag": etag(version)},
    )
