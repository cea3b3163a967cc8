"""Suggests an IANA time zone for a name that is none: other letter case, a name of Windows, an offset, a city alone."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from service.domain.windows_zones import WINDOWS_ZONES
from service.domain.zones import zone_names

MAX_NAME_CHARACTERS = 64
"""Characters of a name that is looked up. No zone has a longer one."""

_OFFSET = re.compile(r"(?:utc|gmt)?_?(?P<sign>[+\-\u2212])_?(?P<hours>[0-9]{1,2})(?::?00)?", re.ASCII)
_NO_OFFSET = frozenset({"z", "utc0", "gmt0", "utc+0", "utc-0", "utc+00:00", "gmt+00:00", "+00:00", "zulu_time"})


def suggest_zone(name: str) -> str | None:
    """The IANA zone that the name means, or None. A look-up uses whole keys, so it takes the same time for any text."""
    if len(name) > MAX_NAME_CHARACTERS:
        return None
    key = _key(name)
    if (found := _names().get(key)) is not None:
        return found
    if key in _NO_OFFSET:
        return "UTC"
    if (offset := _OFFSET.fullmatch(key)) is not None:
        # The signs of Etc/* are those of POSIX: Etc/GMT-2 is two hours ahead of UTC.
        sign = "-" if offset["sign"] == "+" else "+"
        zone = f"Etc/GMT{sign}{int(offset['hours'])}" if int(offset["hours"]) else "UTC"
        return zone if zone in zone_names() else None
    return None


def _key(name: str) -> str:
    return re.sub(r"[\s_]+", "_", name.strip()).casefold()


@cache
def _names() -> dict[str, str]:
    """Zones by key: all names, names of Windows, and the last part of a name if only one zone has it."""
    ends = Counter(_key(name.rpartition("/")[2]) for name in zone_names() if "/" in name)
    cities = {
        end: name
        for name in zone_names()
        if "/" in name and not name.startswith("Etc/") and ends[end := _key(name.rpartition("/")[2])] == 1
    }
    windows = {_key(name): zone for name, zone in WINDOWS_ZONES.items()}
    return {**cities, **windows, **{_key(name): name for name in zone_names()}}
