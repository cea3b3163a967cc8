"""Query parameters: their fields, and the cursors of pages, which are opaque to clients."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from types import MappingProxyType
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, fields

from service.api.http.fields import NUMBER_ERRORS, UUID_TEXT, JsonSchema, Messages
from service.domain.messages import Status
from service.domain.texts import is_unicode
from service.domain.zones import zone_names

MAX_PAGE_ITEMS = 500
"""Items of one page."""

DEFAULT_PAGE_ITEMS = 50
"""Items of a page without `limit`."""

MAX_MESSAGE_IDS = 1000
"""Messages that a request may name one by one."""

_INSTANT_ERRORS: Messages = {"invalid": "Expected an instant with its offset, such as 2027-02-28T09:00:00Z."}
_INSTANT_OR_DATE_ERRORS: Messages = {
    "invalid": "Expected a date, or an instant with its offset, such as 2027-02-28 or 2027-02-28T09:00:00Z."
}
_MESSAGE_IDS_ERRORS: Messages = {"invalid": "Expected an array of 1 to {most} ids of messages."}
_ZONE_ERRORS: Messages = {"invalid": "Expected names of IANA time zones, such as Europe/Paris."}
_DATE_ERRORS: Messages = {"invalid": "Expected a date that exists, as YYYY-MM-DD."}
_CURSOR_ERRORS: Messages = {"invalid": "Expected the nextCursor of an earlier page."}
_BOOLEAN_ERRORS: Messages = {"invalid": "Expected true or false."}
_STATUS_ERRORS: Messages = {"invalid": "Expected one of {values}.", "required": "Expected, and missing."}
_MONTH_DAY_ERRORS: Messages = {"invalid": "Expected a month and a day that exist, as MM-DD."}
_ID_ERRORS: Messages = {"invalid": "Expected the id of a user, a UUID."}
_SOME_ERRORS: Messages = {"invalid": "Expected something."}
_MONTH_DAY = "^((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))$"
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


class Query(Schema):
    """The parameters of a route. Unknown ones are refused: a misspelt filter must not return everything."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown parameter.", "type": "Expected parameters."}  # noqa: RUF012 - marshmallow's


class Number(fields.Field[int]):
    """A whole number in decimal digits, from `least` to `most`: out of range is refused, not clamped."""

    default_error_messages = NUMBER_ERRORS

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most = least, most
        self.json_schema: JsonSchema = {"type": "integer", "minimum": least, "maximum": most}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not self.least <= int(value) <= self.most:
            raise self.make_error("invalid", least=self.least, most=self.most)
        return int(value)


class Boolean(fields.Field[bool]):
    """The text `true` or `false`; in a body a boolean of JSON is a `JsonBoolean`."""

    default_error_messages = _BOOLEAN_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "boolean"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value in ("true", "false"):
            return bool(value == "true")
        raise self.make_error("invalid")


class JsonBoolean(Boolean):
    """A boolean of JSON, and no text: `"false"` is a text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise self.make_error("invalid")


class Choice(fields.Field[str]):
    """One of a few words."""

    default_error_messages = _STATUS_ERRORS

    def __init__(self, *values: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.values = values
        self.json_schema: JsonSchema = {"type": "string", "enum": list(values)}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value not in self.values:
            raise self.make_error("invalid", values=", ".join(self.values))
        return str(value)


class Instant(fields.Field[dt.datetime]):
    """An instant, RFC 3339 with an offset. Of up to nine decimals, as .NET, Java and Go write them, six count."""

    default_error_messages = _INSTANT_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "format": "date-time"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:
        # In a query an unescaped plus sign arrives as a space.
        text = value.replace(" ", "+").upper() if isinstance(value, str) else ""
        try:
            if _INSTANT.fullmatch(text):
                return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class InstantOrDate(Instant):
    """An instant, or a date: its midnight in UTC."""

    default_error_messages = _INSTANT_OR_DATE_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {"type": "string", "format": "instant-or-date", "description": "An instant, or a date: its midnight in UTC."}
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            value = f"{value}T00:00:00Z"
        return super()._deserialize(value, attr, data, **kwargs)


class CalendarDate(fields.Field[dt.date]):
    """A date of the calendar, `YYYY-MM-DD`."""

    default_error_messages = _DATE_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "format": "date"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.date:
        try:
            if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
                return dt.date.fromisoformat(value)
        except ValueError as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


def midnight(now: dt.datetime) -> dt.datetime:
    """The begin of the day in UTC."""
    return now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Cursor(fields.Field[UUID]):
    """The position at which the page begins."""

    default_error_messages = _CURSOR_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        try:
            if re.fullmatch(r"[A-Za-z0-9_-]{22}", value):
                return UUID(bytes=base64.urlsafe_b64decode(value + "=="))
        except (ValueError, binascii.Error) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


def cursor(last: UUID) -> str:
    """The cursor of the page after the item of that id."""
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


class UserId(fields.Field[UUID]):
    """The id of a user."""

    default_error_messages = _ID_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "format": "uuid"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not UUID_TEXT.fullmatch(value):
            raise self.make_error("invalid")
        return UUID(value)


class SeveralStatuses(fields.Field[tuple[Status, ...]]):
    """States of messages, each one of `among`, with commas between them."""

    default_error_messages = _STATUS_ERRORS

    def __init__(self, among: frozenset[Status] = frozenset(Status), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.among = among
        self.json_schema: JsonSchema = {
            "type": "string",
            "pattern": "^({0})(,({0}))*$".format("|".join(sorted(among))),
            "description": f"States, with commas between them: {', '.join(sorted(among))}.",
        }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[Status, ...]:
        names = value.split(",") if isinstance(value, str) else []
        if not names or not self.among.issuperset(names):
            raise self.make_error("invalid", values=", ".join(sorted(self.among)))
        return tuple(dict.fromkeys(map(Status, names)))


class MessageIds(fields.Field[tuple[UUID, ...]]):
    """The ids of some messages, in an array."""

    default_error_messages = _MESSAGE_IDS_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "array",
            "items": {"type": "string", "format": "uuid"},
            "minItems": 1,
            "maxItems": MAX_MESSAGE_IDS,
            "description": "Only these messages.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[UUID, ...]:
        ids = value if isinstance(value, list) else []
        if not 1 <= len(ids) <= MAX_MESSAGE_IDS or not all(
            isinstance(id_, str) and UUID_TEXT.fullmatch(id_) for id_ in ids
        ):
            raise self.make_error("invalid", most=MAX_MESSAGE_IDS)
        return tuple(dict.fromkeys(map(UUID, ids)))


class SeveralZones(fields.Field[tuple[str, ...]]):
    """Names of time zones, with commas between them."""

    default_error_messages = _ZONE_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {"type": "string", "format": "iana-time-zone", "description": "Time zones, with commas between them."}
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        names = value.split(",") if isinstance(value, str) else []
        if not names or not zone_names().issuperset(names):
            raise self.make_error("invalid")
        return tuple(dict.fromkeys(names))


class MonthDay(fields.Field[int]):
    """`MM-DD`, loaded as month * 100 + day; 29 February exists."""

    default_error_messages = _MONTH_DAY_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {"type": "string", "pattern": _MONTH_DAY, "description": "Month and day, `02-29` included."}
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            if re.fullmatch(r"[0-9]{2}-[0-9]{2}", value):
                day = dt.date.fromisoformat(f"2000-{value}")
                return day.month * 100 + day.day
        except ValueError as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class AnyText(fields.Field[str]):
    """Any text that a database can hold, for comparisons."""

    default_error_messages = _SOME_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {"type": "string", "minLength": 1, "maxLength": 320, "pattern": "^[^\\u0000]*$"}
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 320 or "\0" in value or not is_unicode(value):
            raise self.make_error("invalid")
        return value


class OccasionCode(AnyText):
    """The code of an occasion. Only the database knows if it exists."""

    json_schema: JsonSchema = MappingProxyType({"$ref": "#/components/schemas/Occasion"})


class Page(Query):
    """Every listing's parameters."""

    limit = Number(1, MAX_PAGE_ITEMS, load_default=DEFAULT_PAGE_ITEMS)
    cursor = Cursor(load_default=None)
