"""The time zones heyday knows: those of the pinned `tzdata` package, whatever the machine has installed.

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
    """The zone of that exact name; the same object every time. Raises UnknownZone.

    Being made from a file, it can be neither pickled nor deep-copied: send names between processes, not zones.
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

    No file says when it was. It was not before the year in its name, nor before the leap seconds in it were last
    looked at, which is done each January and July: so this is half a year too early at most.
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
