"""The time zones of the pinned `tzdata` package. The zone files of the machine are not used.

The standard `ZoneInfo("Europe/Paris")` prefers the zone files of the machine, so two nodes could disagree about an
instant. Zones are read from the package instead, once each, without touching the settings of `zoneinfo`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from tzdata import IANA_VERSION  # type: ignore[import-untyped]  # a package of data, without annotations

TZDATA_VERSION: str = IANA_VERSION
"""The IANA release all instants are derived from, such as `2026f`."""

_loaded: dict[str, ZoneInfo] = {}


class UnknownZone(LookupError):
    """The name is not an IANA time zone of the pinned tzdata."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown time zone {name[:64]!a}: expected an IANA name such as 'Europe/Paris'")
        self.name = name


def zone(name: str) -> ZoneInfo:
    """The zone of that exact name. It is the same object every time. Raises UnknownZone.

    It is made from a file, so it can be neither pickled nor deep-copied: send names between processes, not zones.
    """
    try:
        return _loaded[name]
    except KeyError:
        return _load(name)


@cache
def zone_names() -> frozenset[str]:
    """Every name of tzdata's own `zones` list: all zones and links, `UTC`, `Etc/*`, and `Factory` too."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="ascii").split())


@cache
def released() -> datetime:
    """The instant before which this release of the zone data cannot have been made.

    No file has the date of the release. It is not before the year in its name, nor before the last update of the leap
    seconds in it, each January and July. So the result is at most half a year too early.
    """
    updated = re.search(
        r"^#updated\s+(\d+)", (files("tzdata") / "zoneinfo" / "leapseconds").read_text("ascii"), re.MULTILINE
    )
    instants = [datetime(int(TZDATA_VERSION[:4]), 1, 1, tzinfo=UTC)]
    if updated is not None:
        instants.append(datetime.fromtimestamp(int(updated[1]), UTC))
    return max(instants)


def _load(name: str) -> ZoneInfo:
    # Only listed names ever become a path, so no string can reach another file.
    if name not in zone_names():
        raise UnknownZone(name)
    with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as tzif:
        return _loaded.setdefault(name, ZoneInfo.from_file(tzif, key=name))
