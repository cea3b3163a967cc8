"""Converts rows of a file into users: columns become fields, dates are normalised, a country gives the zone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from actors.commands.errors import WrongValue
from actors.commands.imports.countries import NoZone, zone_of_country
from service.api.http.csv_lines import suggest_field
from service.domain.dates import MonthDay, OccasionDate, parse_day

FIELDS = (
    "externalId", "firstName", "lastName", "email", "timezone", "locale", "birthdayDate", "anniversaryDate",
    "locationCity", "locationCountry",
)  # fmt: skip
"""Fields of every user. The dates of occasions are in fields that end with `Date`."""

WORDS: Mapping[str, frozenset[str]] = {
    "externalId": frozenset({"id", "employeeid", "employeenumber", "personnelnumber", "personalnummer", "matricule"}),
    "firstName": frozenset({"first", "givenname", "forename", "vorname", "prénom", "prenom", "nombre", "nome"}),
    "lastName": frozenset({"last", "surname", "familyname", "nachname", "nom", "apellido", "apellidos", "cognome"}),
    "email": frozenset({"mail", "emailaddress", "mailaddress", "workemail", "emailadresse", "courriel", "correo"}),
    "timezone": frozenset({"tz", "zone", "timezonename", "zeitzone", "fuseauhoraire", "zonahoraria"}),
    "locale": frozenset({"language", "lang", "sprache", "langue", "idioma", "lingua"}),
    "birthdayDate": frozenset({"dob", "birthdate", "dateofbirth", "geburtstag", "geburtsdatum", "datedenaissance",
        "fechadenacimiento", "datadinascita"}),
    "anniversaryDate": frozenset({"hiredate", "startdate", "dateofhire", "joined", "eintrittsdatum", "eintritt"}),
    "locationCity": frozenset({"city", "town", "stadt", "ort", "ville", "ciudad", "città"}),
    "locationCountry": frozenset({"country", "countrycode", "land", "pays", "país", "paese"}),
}  # fmt: skip
"""Names of columns in exports of other systems, as letters only."""

_PARTS = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d"}
_REQUIRED = {"%m", "%d"}
_EARLIER_CENTURY = 100


class CannotConvert(ValueError):
    """A row cannot become a user. The text names the field."""


class DateFormat:
    """The format of a file's dates: `DD.MM.YYYY`, `MM/DD`, or a format of strptime. Raises ValueError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._format = text if "%" in text else re.sub("YYYY|YY|MM|DD", lambda part: _PARTS[part[0]], text)
        found = re.findall("%[A-Za-z]", self._format)
        parts = set(found)
        others = re.search("[A-Za-z]", re.sub("%[A-Za-z]", "", self._format))
        if others or not parts >= _REQUIRED or not parts <= set(_PARTS.values()) or len(parts) < len(found):
            raise ValueError(f"expected day, month and perhaps year, such as DD.MM.YYYY or %d.%m.%Y, not {text!r}")
        self._has_year = not parts.isdisjoint({"%Y", "%y"})
        self._short = "%y" in parts

    def parse(self, text: str, today: date) -> OccasionDate:
        """Return the date. Two digits mean the latest year that is not in the future. Raises ValueError."""
        if not self._has_year:
            # 2000 has a 29 February.
            day = datetime.strptime(f"2000 {text}", f"%Y {self._format}").date()  # noqa: DTZ007 - a date has no zone
            return MonthDay(day.month, day.day)
        day = datetime.strptime(text, self._format).date()  # noqa: DTZ007
        return day.replace(year=day.year - _EARLIER_CENTURY) if self._short and day > today else day


class Conversion:
    """Converts rows into documents of the API.

    `now` decides which zones show equal times, and the century of two-digit years.
    """

    def __init__(
        self,
        mapped: Sequence[tuple[str, str]],
        *,
        date_format: DateFormat | None,
        zone_from: str | None,
        now: datetime,
    ) -> None:
        self._mapped = dict(mapped)
        self._date_format = date_format
        self._zone_from = zone_from
        self._now = now
        for column, field in mapped:
            if not _is_field(field):
                meant = suggest_field(field, FIELDS)
                hint = f"; did you mean {meant}?" if meant else f": expected one of {', '.join(FIELDS)}"
                raise WrongValue(f"--map {column}={field}: there is no such field{hint}")

    def fields_of(self, columns: Collection[str]) -> dict[str, str]:
        """Return the field of each column that has one, by --map or by its name. Raises WrongValue."""
        if missing := (self._mapped.keys() | ({self._zone_from} - {None})) - set(columns):
            raise WrongValue(f"the file has no column {', '.join(map(repr, sorted(map(str, missing))))}")
        found = dict(self._mapped)
        for column in columns:
            if column not in found and (field := _field_named(column)) is not None:
                found[column] = field
        twice = sorted({field for field in found.values() if list(found.values()).count(field) > 1})
        if twice:
            raise WrongValue(f"several columns are {', '.join(twice)}: name one of them with --map")
        return found

    def fields_of_document(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Return the field of each key of a JSON object. Unknown keys stay, so that the API refuses them.

        Raises CannotConvert if several keys are one field.
        """
        found = {key: self._mapped.get(key) or _field_named(key) for key in document}
        fields = {key: field or key for key, field in found.items() if field or key != self._zone_from}
        if twice := sorted(field for field, count in Counter(fields.values()).items() if count > 1):
            raise CannotConvert(f"{', '.join(twice)}: given by several keys")
        return fields

    def document(self, row: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
        """Return the user of a row.

        An empty cell is null, or is left out if the field needs a value. Raises CannotConvert.
        """
        document = {}
        for column, field in fields.items():
            if column not in row:
                continue
            value = row[column]
            text = value.strip() if isinstance(value, str) else value
            is_date = field.endswith("Date") and isinstance(text, str) and text
            document[field] = self._date(field, text) if is_date else None if text == "" else text
        if self._zone_from is not None and not document.get("timezone") and (country := row.get(self._zone_from)):
            try:
                document["timezone"] = zone_of_country(str(country), self._now)
            except NoZone as error:
                raise CannotConvert(f"timezone: {error}") from error
        needed = ("firstName", "email", "timezone")
        return {field: value for field, value in document.items() if value is not None or field not in needed}

    def _date(self, field: str, value: str) -> str:
        if self._date_format is None:
            return value
        try:
            return str(self._date_format.parse(value, self._now.date()))
        except ValueError as error:
            if _is_day(value):
                return value
            raise CannotConvert(f"{field}: expected a date as {self._date_format.text}, not {value[:40]!r}") from error


def suggestions(columns: Collection[str], taken: Collection[str]) -> list[tuple[str, str]]:
    """The field that each column probably is, of those that are not taken, where one field alone is likely."""
    free = [field for field in FIELDS if field not in taken]
    meant = [(column, _meant(column, free)) for column in columns]
    fields = Counter(field for _, field in meant)
    return [(column, field) for column, field in meant if field is not None and fields[field] == 1]


def _meant(column: str, fields: Sequence[str]) -> str | None:
    letters = _letters(column)
    known = next((field for field, words in WORDS.items() if letters in words and field in fields), None)
    return known or suggest_field(column, fields)


def is_date_of_occasion(name: str) -> bool:
    """True for the field of an occasion that heyday does not come with, if there is one of this name."""
    return name not in FIELDS and re.fullmatch(r"[a-z][a-zA-Z0-9]*Date", name) is not None


def _is_field(name: str) -> bool:
    return name in FIELDS or is_date_of_occasion(name)


def _field_named(column: str) -> str | None:
    if _is_field(column):
        return column
    return next((field for field in FIELDS if _letters(field) == _letters(column)), None)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _is_day(text: str) -> bool:
    try:
        parse_day(text)
    except ValueError:
        return False
    return True
