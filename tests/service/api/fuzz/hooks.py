"""Tells schemathesis what the document cannot say: the formats, NDJSON, and the purpose of keys.

Schemathesis loads this file (`hooks` in schemathesis.toml) in a process without heyday.
"""

from __future__ import annotations

import json
import unicodedata
import uuid
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import schemathesis
from hypothesis import strategies as st

_ZONES = sorted((files("tzdata") / "zones").read_text(encoding="ascii").split())
zones = st.sampled_from(_ZONES)

_seen = st.characters(categories=("L", "N", "P", "S"), exclude_characters="\u115f\u1160\u2800\u3164\uffa0")
_bidi = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_any = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters=_bidi)
# Normalised beforehand, since it is then that a line has 100 characters at most. How long one may be is the document's
# to say: there are some around that.
lines = st.builds(lambda first, rest: unicodedata.normalize("NFC", first + rest), _seen, st.text(_any, max_size=20))
lines |= st.builds(str.__mul__, st.sampled_from(["a", "ß", "李", "👋"]), st.integers(97, 103))

# A schema cannot say "not in the future"; the year before the tests' own is past in every zone.
days = st.dates(date(1, 1, 2), date(2025, 12, 31)).map(date.isoformat)
days |= st.dates(date(4, 1, 1), date(4, 12, 31)).map("--{:%m-%d}".format)

addresses = st.builds(
    "{}@{}.{}".format,
    st.text("abcXYZ019_+!#$%&'*/=?^`{|}~-", min_size=1, max_size=20) | st.sampled_from(["zoë", "владимир", "李小龍"]),
    st.text("abcxyz019", min_size=1, max_size=63),
    st.sampled_from(["com", "co.uk", "museum", "example", "test", "рф"]),
)

schemathesis.openapi.format("iana-time-zone", zones)
schemathesis.openapi.format("visible-line", lines)
schemathesis.openapi.format("occasion-date", days)
schemathesis.openapi.format("external-id", lines.filter(lambda text: text == text.strip()))
schemathesis.openapi.format("language-tag", st.sampled_from(["de", "pt-BR", "zh-Hant-TW", "es-419", "sl-rozaj-biske"]))
schemathesis.openapi.format("idn-email", addresses)

CHANGE_CURSOR = 32
"""Characters of a cursor that goes with `updatedSince` alone."""

_short = lines.filter(lambda text: len(text) <= 100)
_rows = st.fixed_dictionaries(
    {"firstName": _short, "email": addresses, "timezone": zones},
    optional={
        "lastName": _short | st.none(),
        "externalId": st.uuids().map(str),
        "locale": st.just("de-AT"),
        "birthdayDate": days | st.none(),
        "locationCity": _short,
        "x": st.none(),
    },
).map(lambda row: json.dumps(row).encode())
_values = st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=3).map(
    lambda value: json.dumps(value).encode()
)
_imports = st.lists(_rows | _rows | _values | st.binary(max_size=40), max_size=5).map(b"\n".join)


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: schemathesis.SerializationContext, value: Any) -> Any:
    """Send bytes and text unchanged."""
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value)


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Leave out CSV: no schema can say what its header is."""
    del raw_schema["paths"]["/api/v1/users:import"]["post"]["requestBody"]["content"]["text/csv"]


@schemathesis.hook
def before_generate_body(context: schemathesis.HookContext, strategy: Any) -> Any:
    """Generate import bodies: valid users, other JSON, and invalid JSON."""
    imports = context.operation is not None and context.operation.path.endswith(":import")
    return _imports if imports else strategy


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """Change what a valid request needs beyond its schema.

    An idempotency key names one request. Generated keys are short and return with another request, which is refused
    correctly. So that the request itself is tested, each valid key is replaced by a new one. A preview covers a year
    back and two years ahead, and its cursors belong to their window.
    """
    if case.operation.path == "/api/v1/preview" and case.meta and case.meta.generation.mode.is_positive:
        begin = datetime.now(UTC) + timedelta(days=hash(case.id) % 700 - 200)
        case.query.update(
            {"from": begin.isoformat(), "to": (begin + timedelta(days=hash(case.id) % 9 + 1)).isoformat()}
        )
        # No schema can say that one is later than the other.
        for name in ("cursor", "asIfDownFrom", "asIfDownTo"):
            case.query.pop(name, None)
    alone = [name for name in ("q", "updatedSince") if case.operation.path == "/api/v1/users" and case.query.get(name)]
    if alone:  # neither goes with another filter, or with a cursor of another list
        for name in set(case.query) - {alone[0], "limit"}:
            del case.query[name]
    elif case.operation.path == "/api/v1/users" and len(str(case.query.get("cursor"))) == CHANGE_CURSOR:
        del case.query["cursor"]
    if case.operation.path == "/api/v1/holds" and isinstance(case.body, dict) and case.body.get("until"):
        case.body["until"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()  # no schema can say "in the future"
        case.body["for"] = None  # one of the two
    if "/occasions/" in case.operation.path and case.meta and case.meta.generation.mode.is_positive:
        _render(case.body)
    key: object = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 200 and key.isascii() and key.isprintable() and " " not in key:
        case.headers["Idempotency-Key"] = f"{key}{uuid.uuid4().hex}"


def _render(body: Any) -> None:
    """Make a valid request for a rendering: a schema cannot express braces, language tags or existing users."""
    if not isinstance(body, dict):
        return
    for name in ("subject", "text"):
        if name in body:
            body[name] = f"Hey {len(body[name])}, {{first_name}}"
    if "textWithoutYears" in body or "texts" in body:
        body["textWithoutYears"] = None
        body["texts"] = {"de": "Hallo {first_name}", "pt-BR": {"text": "Oi", "subject": None, "textWithoutYears": None}}
    if "service" in body:
        body["service"] = "primary"  # there is no other
    if "userId" in body:
        body["userId"] = None
