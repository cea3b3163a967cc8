"""What schemathesis cannot read in the document: what our formats mean, how NDJSON is written, what a key is for.

Loaded by schemathesis itself (`hooks` in schemathesis.toml), in a process that has nothing of the service's.
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
_any = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
# Normalised beforehand, since it is then that a line has 100 characters at most. How long one may be is the document's
# to say: there are some around that.
lines = st.builds(lambda first, rest: unicodedata.normalize("NFC", first + rest), _seen, st.text(_any, max_size=20))
lines |= st.builds(str.__mul__, st.sampled_from(["a", "ß", "李", "👋"]), st.integers(97, 103))

# A schema cannot say "not in the future"; the year before the tests' own is past in every zone.
days = st.dates(max_value=date(2025, 12, 31)).map(date.isoformat)

addresses = st.builds(
    "{}@{}.{}".format,
    st.text("abcXYZ019_+!#$%&'*/=?^`{|}~-", min_size=1, max_size=20) | st.sampled_from(["zoë", "владимир", "李小龍"]),
    st.text("abcxyz019", min_size=1, max_size=63),
    st.sampled_from(["com", "co.uk", "museum", "example", "test", "рф"]),
)

schemathesis.openapi.format("iana-time-zone", zones)
schemathesis.openapi.format("visible-line", lines)
schemathesis.openapi.format("date", days)
schemathesis.openapi.format("idn-email", addresses)

_short = lines.filter(lambda text: len(text) <= 100)
_rows = st.fixed_dictionaries(
    {"firstName": _short, "lastName": _short, "email": addresses, "timezone": zones},
    optional={"birthdayDate": days | st.none(), "locationCity": _short, "x": st.none()},
).map(lambda row: json.dumps(row).encode())
_values = st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=3).map(
    lambda value: json.dumps(value).encode()
)
_imports = st.lists(_rows | _rows | _values | st.binary(max_size=40), max_size=5).map(b"\n".join)


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: schemathesis.SerializationContext, value: Any) -> Any:
    """Bytes go out as they are."""
    return {"data": value if isinstance(value, bytes) else json.dumps(value).encode()}


@schemathesis.hook
def before_generate_body(context: schemathesis.HookContext, strategy: Any) -> Any:
    """An import is lines: good users, JSON of other kinds, and no JSON at all."""
    imports = context.operation is not None and context.operation.path.endswith(":import")
    return _imports if imports else strategy


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """What a good request needs beyond its schema.

    A key names one request that is meant once. Generated ones are short and come again with another request, which is
    refused as it must be; so that the request itself is tried, each that is a valid key becomes a new one. A preview
    looks from a year back to two years ahead, and its cursors belong to their window.
    """
    if case.operation.path == "/api/v1/preview" and case.meta and case.meta.generation.mode.is_positive:
        begin = datetime.now(UTC) + timedelta(days=hash(case.id) % 700 - 200)
        case.query.update(
            {"from": begin.isoformat(), "to": (begin + timedelta(days=hash(case.id) % 9 + 1)).isoformat()}
        )
        case.query.pop("cursor", None)
    key: object = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 200 and key.isascii() and key.isprintable() and " " not in key:
        case.headers["Idempotency-Key"] = f"{key}{uuid.uuid4().hex}"
