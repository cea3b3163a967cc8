"""A user as JSON: the schema of requests, the profile from it, and the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError

from service.api.http.fields import Day, EmailAddress, ExternalId, Language, Text, TimeZone
from service.api.http.problems import FieldError
from service.api.representations import kinds
from service.api.representations.answers import Answer, Get, Member, page
from service.api.representations.examples import USER_ID
from service.domain.occasions import date_field
from service.domain.users import Profile, User
from service.domain.zones import zone

ONE_DAY = timedelta(days=1)

_ERRORS = {"unknown": "Unknown field.", "type": "Expected a JSON object."}


class UserSchema(Schema):
    """The fields of every user. `user_schema` adds a date for each occasion."""

    class Meta:
        unknown = RAISE

    error_messages = _ERRORS

    external_id = ExternalId(allow_none=True, load_default=None, data_key="externalId")
    first_name = Text(required=True, data_key="firstName")
    last_name = Text(allow_none=True, load_default=None, data_key="lastName")
    email = EmailAddress(required=True)
    timezone = TimeZone(required=True)
    locale = Language(allow_none=True, load_default=None)
    location_city = Text(allow_none=True, load_default=None, data_key="locationCity")
    location_country = Text(allow_none=True, load_default=None, data_key="locationCountry")


@lru_cache(maxsize=8)
def user_schema(occasions: tuple[str, ...]) -> type[Schema]:
    """The schema with a date for each occasion, loaded as `<code>_date`."""
    dates: dict[str, object] = {
        f"{code}_date": Day(allow_none=True, load_default=None, data_key=date_field(code)) for code in occasions
    }
    return type("User", (UserSchema,), dates)


class Loader:
    """Loads as its schema does, with the same fields and the same result.

    Nearly every document is valid and takes a short way. The schema loads all others, and finds and words every error.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.names = {field.data_key or name: name for name, field in schema.load_fields.items()}
        """The names in what is loaded, by the keys of JSON."""
        self.nullable = {field.data_key or name: bool(field.allow_none) for name, field in schema.load_fields.items()}
        """True for each key whose field may be null."""
        self._fields = [
            (field.data_key or name, name, field, schema.partial is True) for name, field in schema.load_fields.items()
        ]

    def load(self, value: Any) -> dict[str, Any]:
        """The value as the schema loads it. Raises ValidationError with every error."""
        if type(value) is dict:
            try:
                loaded = self._without_mistakes(value)
            except ValidationError:
                pass
            else:
                if loaded is not None:
                    return loaded
        found: dict[str, Any] = self._schema.load(value)
        return found

    def _without_mistakes(self, document: dict[str, Any]) -> dict[str, Any] | None:
        loaded = {}
        known = len(document)
        for key, name, field, partial in self._fields:
            if key in document:
                known -= 1
                value = document[key]
                if value is not None:
                    loaded[name] = field._deserialize(value, name, document)  # noqa: SLF001 - what its subclasses define
                elif field.allow_none:
                    loaded[name] = None
                else:
                    return None
            elif field.required and not partial:
                return None
            elif not partial:
                loaded[name] = field.load_default
        return None if known else loaded


@lru_cache(maxsize=8)
def loader(occasions: tuple[str, ...], *, partial: bool = False) -> Loader:
    """The loader of users; `partial` for documents that may leave fields out. It has no state."""
    return Loader(user_schema(occasions)(partial=partial))


_NAMES = frozenset(field.name for field in dataclasses.fields(Profile)) - {"dates"}


def profile_of(loaded: Mapping[str, Any], occasions: Sequence[str]) -> Profile:
    """The profile that a whole document describes. A field that it leaves out is null."""
    return Profile(
        loaded["first_name"],
        loaded["last_name"],
        loaded["email"],
        loaded["timezone"],
        {code: day for code in occasions if (day := loaded[f"{code}_date"]) is not None},
        loaded["location_city"],
        loaded["location_country"],
        loaded["external_id"],
        loaded["locale"],
    )


def merged(profile: Profile, loaded: Mapping[str, Any], occasions: Sequence[str]) -> Profile:
    """The profile with the changes of a merge patch (RFC 7396): null removes, and fields that are left out stay."""
    given = {code: loaded[name] for code in occasions if (name := f"{code}_date") in loaded}
    dates = {code: day for code, day in {**profile.dates, **given}.items() if day is not None}
    return dataclasses.replace(profile, dates=dates, **{name: loaded[name] for name in _NAMES & loaded.keys()})


def changes(profile: Profile, loaded: Mapping[str, Any]) -> bool:
    """True when `merged` would return another profile."""
    dates = profile.dates
    return any(
        (getattr(profile, name) if name in _NAMES else dates.get(name.removesuffix("_date"))) != value
        for name, value in loaded.items()
    )


def future_dates(given: Mapping[str, Any], occasions: Sequence[str], timezone: str, now: datetime) -> list[FieldError]:
    """An error for each date that is still in the future where the user is."""
    past = now.astimezone(UTC).date() - ONE_DAY  # everywhere
    if not any(isinstance(day := given.get(f"{code}_date"), date) and day > past for code in occasions):
        return []
    today = local_date(timezone, now)
    return [
        FieldError(
            date_field(code), f"Expected a date that is not in the future: it is {today.isoformat()} in {timezone}."
        )
        for code in occasions
        if isinstance(day := given.get(f"{code}_date"), date) and day > today
    ]


def local_date(timezone: str, now: datetime) -> date:
    """The local date in a time zone."""
    return now.astimezone(zone(timezone)).date()


@lru_cache(maxsize=8)
def user_answer(occasions: tuple[str, ...]) -> type[Answer]:
    """The answer that is a user, with a date for each occasion. Every member is present; null means none."""

    def date_of(code: str) -> Get:
        return lambda user: None if (day := user.profile.dates.get(code)) is None else str(day)

    day = "`YYYY-MM-DD`, or `--MM-DD` where the year is unknown."
    dates = {date_field(code): Member(kinds.TEXT, day, null=True, of=date_of(code)) for code in occasions}
    members = {
        "id": Member(kinds.ID),
        "external_id": Member(
            kinds.TEXT, "The key that the user has in your own system.", null=True, of="profile.external_id"
        ),
        "first_name": Member(kinds.TEXT, of="profile.first_name"),
        "last_name": Member(kinds.TEXT, "Null for people with one name.", null=True, of="profile.last_name"),
        "email": Member(kinds.TEXT, of="profile.email"),
        "timezone": Member(kinds.TEXT, of="profile.timezone"),
        "locale": Member(kinds.TEXT, "A language tag (BCP 47).", null=True, of="profile.locale"),
        **dates,
        "location_city": Member(kinds.TEXT, null=True, of="profile.location_city"),
        "location_country": Member(kinds.TEXT, null=True, of="profile.location_country"),
        "created_at": Member(kinds.INSTANT),
        "updated_at": Member(kinds.INSTANT),
    }
    example = {
        "id": USER_ID,
        **user_input_example(list(dates)),
        "createdAt": "2026-11-24T09:30:00Z",
        "updatedAt": "2026-11-24T09:30:00Z",
    }
    return type("UserAnswer", (Answer,), {**members, "example": example})


def user_input_example(date_fields: Sequence[str]) -> dict[str, Any]:
    """A user as a client sends it."""
    return {
        "externalId": "1042",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.com",
        "timezone": "Europe/London",
        "locale": "en-GB",
        **{name: "1815-12-10" if name == "birthdayDate" else None for name in date_fields},
        "locationCity": "London",
        "locationCountry": "United Kingdom",
    }


class DeletedUserAnswer(Answer):
    """A user who was deleted, for those who synchronise."""

    id = Member(kinds.ID)
    external_id = Member(kinds.TEXT, null=True)
    deleted_at = Member(kinds.INSTANT)

    example: ClassVar = {"id": USER_ID, "externalId": "1042", "deletedAt": "2026-12-01T10:00:00Z"}


@lru_cache(maxsize=8)
def user_page(occasions: tuple[str, ...]) -> type[Answer]:
    """A page of users."""
    return page(
        "UserPage",
        user_answer(occasions),
        deleted=Member(
            DeletedUserAnswer, "Only with `updatedSince`: users who were deleted.", many=True, optional=True
        ),
        resume_cursor=Member(kinds.TEXT, "Only with `updatedSince`: where to go on the next time.", optional=True),
    )


def as_json(user: User, occasions: tuple[str, ...]) -> dict[str, Any]:
    """The user as a response shows it."""
    return user_answer(occasions).json(user)
