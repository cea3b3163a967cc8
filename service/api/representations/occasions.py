"""Occasions as JSON: the schema of requests, the occasion from it, and the answers."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields

from service.api.http.fields import JsonSchema, Messages, WholeNumber
from service.api.http.problems import FieldError
from service.api.http.query import Choice, JsonBoolean
from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, Part
from service.domain.calendar import MAX_OFFSET_DAYS, LeapDay, Weekend
from service.domain.languages import language_tag, suggest_tag
from service.domain.messages import Answer as Answered
from service.domain.occasions import DEFAULT_SUBJECT, Occasion
from service.domain.texts import MAX_LANGUAGES, MAX_SUBJECT, MAX_TEXT, Text
from service.ports import Greeting

_TEMPLATE_ERRORS: Messages = {
    "invalid": "Expected text.",
    "required": "Expected, and missing.",
}
_TEXTS_ERRORS: Messages = {
    "invalid": "Expected an object whose names are languages, such as de, each with text, and perhaps subject and "
    "textWithoutYears.",
    "language": "Expected a language tag (BCP 47), such as de or pt-BR.",
    "meant": "Expected a language tag (BCP 47). Did you mean {tag}?",
    "twice": "Expected each language once, and {tag} is there in another spelling, too.",
}
_TIME_ERRORS: Messages = {"invalid": "Expected a time of day as HH:MM or HH:MM:SS, or null."}
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")


class Template(fields.Field[str]):
    """A text with placeholders. Its mistakes are found in the whole occasion (see `Occasion.mistakes`)."""

    default_error_messages = _TEMPLATE_ERRORS

    def __init__(self, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.json_schema: JsonSchema = {
            "type": "string",
            "format": "template",
            "minLength": 1,
            "maxLength": most,
        }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        return value


class Texts(fields.Field[dict[str, Text]]):
    """Texts by language tag. A text alone stands for an object with this text."""

    default_error_messages = _TEXTS_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "object",
            "format": "texts",
            "maxProperties": MAX_LANGUAGES,
            "additionalProperties": {
                "anyOf": [{"$ref": "#/components/schemas/OccasionText"}, {"type": "string", "minLength": 1}]
            },
            "description": "Texts by language tag (BCP 47). The user's `locale` chooses: `de-AT`, else `de`, else the "
            "default text.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Text]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        found: dict[str, Text] = {}
        for name, given in value.items():
            tag = language_tag(name)
            if tag is None:
                meant = suggest_tag(name)
                error = self.make_error("meant", tag=meant) if meant else self.make_error("language")
                raise ValidationError({name: error.messages})
            if tag in found:
                raise ValidationError({name: self.make_error("twice", tag=tag).messages})
            one = {"text": given} if isinstance(given, str) else given
            if not isinstance(one, dict) or not one.keys() <= {"subject", "text", "textWithoutYears"}:
                raise self.make_error("invalid")
            subject, text, without = one.get("subject"), one.get("text"), one.get("textWithoutYears")
            if not isinstance(text, str) or not all(isinstance(other, str | None) for other in (subject, without)):
                raise self.make_error("invalid")
            found[tag] = Text(subject, text, without)
        return found


class TimeOfDay(fields.Field[dt.time]):
    """A local time of day, in whole seconds."""

    default_error_messages = _TIME_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "pattern": f"^{_TIME.pattern}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.time:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise self.make_error("invalid")
        return dt.time.fromisoformat(value)


class OccasionInputSchema(Schema):
    """An occasion as a client sends it. A field that is left out has its default."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    example: ClassVar = {
        "subject": "Your name day",
        "text": "Hey, {first_name}, it's your name day",
        "texts": {"de": {"subject": "Namenstag", "text": "Hallo {first_name}, alles Gute zum Namenstag"}},
        "weekend": "before",
    }

    subject = Template(MAX_SUBJECT, load_default=DEFAULT_SUBJECT)
    text = Template(MAX_TEXT, required=True)
    text_without_years = Template(MAX_TEXT, allow_none=True, load_default=None, data_key="textWithoutYears")
    texts = Texts(load_default=dict)
    send_at = TimeOfDay(allow_none=True, load_default=None, data_key="sendAt")
    leap_day = Choice(*LeapDay, allow_none=True, load_default=None, data_key="leapDay")
    weekend = Choice(*Weekend, load_default=Weekend.KEEP.value)
    offset_days = WholeNumber(-MAX_OFFSET_DAYS, MAX_OFFSET_DAYS, load_default=0, data_key="offsetDays")
    active = JsonBoolean(load_default=True)


def occasion_of(code: str, loaded: Mapping[str, Any], before: Occasion | None = None) -> Occasion:
    """The occasion that a document describes; a field that it leaves out is that of `before`."""
    given = {**({} if before is None else _fields(before)), **loaded}
    return Occasion(
        code,
        Text(given["subject"], given["text"], given["text_without_years"]),
        given["texts"],
        given["send_at"],
        LeapDay(given["leap_day"]) if given["leap_day"] else None,
        Weekend(given["weekend"]),
        given["offset_days"],
        given["active"],
    )


def _fields(one: Occasion) -> dict[str, Any]:
    return {
        "subject": one.default.subject,
        "text": one.default.text,
        "text_without_years": one.default.without_years,
        "texts": one.texts,
        "send_at": one.send_at,
        "leap_day": one.leap_day,
        "weekend": one.weekend,
        "offset_days": one.offset_days,
        "active": one.active,
    }


def errors_of(occasion: Occasion) -> list[FieldError]:
    """The mistakes of an occasion, as errors of a body."""
    return [FieldError(field, f"{sentence[0].upper()}{sentence[1:]}.") for field, sentence in occasion.mistakes()]


_TEXT_EXAMPLE = {
    "subject": "Alles Gute",
    "text": "Hallo {first_name}, alles Gute zum {years}. Geburtstag",
    "textWithoutYears": "Hallo {first_name}, alles Gute zum Geburtstag",
}
_WITHOUT_YEARS = "The text for dates whose year is unknown. A text that uses `{years}` needs it."


class OccasionTextAnswer(Answer):
    """The texts of a language. A request may leave out all but `text`."""

    others = False

    subject = Member(kinds.TEXT, "null: the subject of the default text.", null=True, optional=True, of="subject")
    text = Member(kinds.TEXT)
    text_without_years = Member(kinds.TEXT, _WITHOUT_YEARS, null=True, optional=True, of="without_years")

    example: ClassVar = _TEXT_EXAMPLE


class OccasionDetailsAnswer(Answer):
    """An occasion. Null means that the defaults decide."""

    code = Member(kinds.TEXT, of="occasion.code")
    subject = Member(kinds.TEXT, "For email services that send one. Without `{years}`.", of="occasion.default.subject")
    text = Member(
        kinds.TEXT,
        "The default text. `{full_name}`, `{first_name}`, `{last_name}` and `{years}` are replaced; `{{` and `}}` are "
        "braces.",
        of="occasion.default.text",
    )
    text_without_years = Member(kinds.TEXT, _WITHOUT_YEARS, null=True, of="occasion.default.without_years")
    texts = Member(
        OccasionTextAnswer,
        "Texts by language tag (BCP 47).",
        by_name=True,
        of=lambda entry: dict(sorted(entry.occasion.texts.items())),
    )
    send_at = Member(
        kinds.TEXT,
        "Local time of day; null: HEYDAY_SEND_AT.",
        null=True,
        of=lambda entry: None if (at := entry.occasion.send_at) is None else at.isoformat("auto"),
    )
    leap_day = Member(kinds.enum(LeapDay), "null: HEYDAY_LEAP_DAY.", null=True, of="occasion.leap_day")
    weekend = Member(kinds.enum(Weekend), "What a Saturday or Sunday becomes.", of="occasion.weekend")
    offset_days = Member(
        {"type": "integer", "minimum": -MAX_OFFSET_DAYS, "maximum": MAX_OFFSET_DAYS},
        "Days before (below 0) or after the date.",
        of="occasion.offset_days",
    )
    active = Member(kinds.FLAG, "false: nothing is planned or sent.", of="occasion.active")
    text_version = Member(kinds.INTEGER, "Grows with each change of a text. Messages keep it.")
    created_at = Member(kinds.INSTANT)
    updated_at = Member(kinds.INSTANT)

    example: ClassVar = {
        "code": "birthday",
        "subject": "Happy birthday",
        "text": "Hey, {full_name} it's your birthday",
        "textWithoutYears": None,
        "texts": {"de": _TEXT_EXAMPLE},
        "sendAt": None,
        "leapDay": None,
        "weekend": "keep",
        "offsetDays": 0,
        "active": True,
        "textVersion": 2,
        "createdAt": "2026-11-24T09:30:00Z",
        "updatedAt": "2026-12-01T10:00:00Z",
    }


class OccasionListAnswer(Answer):
    """All occasions."""

    items = Member(OccasionDetailsAnswer, many=True)

    example: ClassVar = {"items": [OccasionDetailsAnswer.example]}


class RenderedTextAnswer(Part):
    """The greeting in one language."""

    language = Member(kinds.TEXT, "null: the default text.", null=True)
    subject = Member(kinds.TEXT)
    text = Member(kinds.TEXT)
    chosen = Member(kinds.FLAG, "The user gets this one.")


class RenderedOccasionAnswer(Answer):
    """The greeting in every language."""

    code = Member(kinds.TEXT, of="occasion.code")
    text_version = Member(kinds.INTEGER)
    items = Member(RenderedTextAnswer, many=True)

    example: ClassVar = {
        "code": "birthday",
        "textVersion": 2,
        "items": [
            {
                "language": None,
                "subject": "Happy birthday",
                "text": "Hey, Ada Lovelace it's your birthday",
                "chosen": True,
            }
        ],
    }


class TestSendResultAnswer(Answer):
    """The answer of the email service to a test."""

    __test__ = False  # pytest looks for classes whose names begin so

    idempotency_key = Member(kinds.ID)
    subject = Member(kinds.TEXT)
    text = Member(kinds.TEXT)
    outcome = Member(kinds.ref("Outcome"))
    status_code = Member(kinds.INTEGER, null=True)
    duration_seconds = Member(kinds.SECONDS, of="duration")
    error = Member(kinds.TEXT, null=True)
    provider_id = Member(kinds.TEXT, null=True)

    example: ClassVar = {
        "idempotencyKey": "3f0cbb0e-64ac-4d4c-9a3c-3c1f3a4ed6a1",
        "subject": "Happy birthday",
        "text": "Hey, Ada Lovelace it's your birthday",
        "outcome": "accepted",
        "statusCode": 200,
        "durationSeconds": 0.213,
        "error": None,
        "providerId": None,
    }


def test_send_json(greeting: Greeting, answer: Answered) -> dict[str, Any]:
    """The answer of the email service to a test."""
    return TestSendResultAnswer.json(answer, idempotency_key=greeting.id, subject=greeting.subject, text=greeting.text)
