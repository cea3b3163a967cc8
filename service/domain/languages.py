"""Language tags (BCP 47), checked by their form and kept in the recommended spelling."""

from __future__ import annotations

import re

MAX_TAG_CHARACTERS = 35
"""Characters that hold every tag in use (RFC 5646, 4.4.1)."""

# RFC 5646, 2.1, without what is grandfathered. A language may be unknown to the registry: this is the form alone.
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{5,8})"
    r"(?P<script>-[a-z]{4})?"
    r"(?P<region>-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?)",
    re.IGNORECASE | re.ASCII,
)


def language_tag(text: str) -> str | None:
    """The tag as RFC 5646, 2.1.1 spells it (`de-AT`, `zh-Hant-TW`); None for what is no tag."""
    found = _TAG.fullmatch(text) if len(text) <= MAX_TAG_CHARACTERS else None
    if found is None:
        return None
    script, region = found["script"] or "", found["region"] or ""
    return f"{found['language'].lower()}{script.title()}{region.upper()}{found['rest'].lower()}"


def suggest_tag(text: str) -> str | None:
    """The tag that is meant by a locale of POSIX or Java (`de_AT.UTF-8`, `de_AT`), or None."""
    return language_tag(text.partition(".")[0].replace("_", "-"))
