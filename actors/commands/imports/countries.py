"""The time zone of a country that has only one, by the tables of the pinned tzdata (zone.tab, iso3166.tab)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

from service.domain.zones import zone, zone_names

_COMPARED = timedelta(days=800)
"""Two zones count as one if they show the same time for this long from now."""

_ALSO = {
    "uk": "GB", "united kingdom": "GB", "great britain": "GB", "england": "GB", "usa": "US",
    "united states of america": "US", "czechia": "CZ", "south korea": "KR", "republic of korea": "KR", "russia": "RU",
    "turkey": "TR", "türkiye": "TR", "vietnam": "VN", "holland": "NL", "the netherlands": "NL",
}  # fmt: skip
"""Names that iso3166.tab writes in another way."""


class NoZone(ValueError):
    """The country is unknown, has no zone, or has several, which the text lists."""


def zone_of_country(country: str, now: datetime) -> str:
    """Return the zone of a country, by its code or English name.

    Raises NoZone.
    """
    code = _codes().get(country.strip().casefold())
    if code is None:
        raise NoZone(f"expected a country of ISO 3166, such as DE or Germany, not {country[:60]!r}")
    if (zones := _zones().get(code)) is None:  # as of Bouvet Island, which is uninhabited
        raise NoZone(f"{code} has no time zone in the zone data")
    if not _are_one(code, now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)):
        raise NoZone(f"{code} has several time zones: {', '.join(zones)}")
    return zones[0]


@cache  # of few countries, within one import
def _are_one(code: str, now: datetime) -> bool:
    first, *others = _zones()[code]
    return all(_clock(other, now) == _clock(first, now) for other in others)


def _clock(name: str, now: datetime) -> list[timedelta | None]:
    steps = _COMPARED // timedelta(hours=12)
    return [zone(name).utcoffset((now + step * timedelta(hours=12)).astimezone(zone(name))) for step in range(steps)]


@cache
def _codes() -> dict[str, str]:
    names = {name.casefold(): code for code, name in _table("iso3166.tab")}
    return {**names, **_ALSO, **{code.casefold(): code for code, _ in _table("iso3166.tab")}}


@cache
def _zones() -> dict[str, list[str]]:
    """The zones of each country, in the order of zone.tab."""
    zones: dict[str, list[str]] = {}
    for code, _place, name, *_ in _table("zone.tab"):
        if name in zone_names():
            zones.setdefault(code, []).append(name)
    return zones


def _table(name: str) -> Iterator[list[str]]:
    text = (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")
    return (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
