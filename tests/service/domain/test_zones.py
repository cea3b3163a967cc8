"""Zones come from the pinned package, by their exact names."""

import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime
from importlib.metadata import version

import pytest

from service.domain.zones import TZDATA_VERSION, UnknownZone, zone, zone_names


def test_every_listed_name_loads_as_that_zone() -> None:
    """An earlier system refused 107 of 599 names."""
    assert len(zone_names()) > 590
    for name in zone_names():
        assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    ["UTC", "GMT", "Etc/GMT+12", "Etc/GMT-14", "Europe/Kyiv", "Europe/Kiev", "America/Argentina/ComodRivadavia", "EST"],
)
def test_links_and_names_without_a_continent_are_zones(name: str) -> None:
    """Users have them: `Europe/Kiev` from before 2022, `UTC` from servers."""
    assert name in zone_names()
    assert zone(name) is zone(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../zones",
        "/etc/localtime",
        "Europe",
        "Europe/",
        "Europe/Paris/",
        "Europe//Paris",
        "Europe\\Paris",
        "europe/paris",
        " Europe/Paris",
        "Europe/Paris\n",
        "Europe/Paris\0",
        "posixrules",
        "posix/Europe/Paris",
        "right/Europe/Paris",
        "zone.tab",
        "__init__.py",
        "localtime",
        "\ud800",
        "Ευρώπη/Παρίσι",
        "A" * 1_000_000,
    ],
)
def test_any_other_string_is_an_unknown_zone(name: str) -> None:
    """Names come from clients. None may open another file, cause a crash, or fill the log."""
    with pytest.raises(UnknownZone) as caught:
        zone(name)

    assert caught.value.name == name
    assert len(str(caught.value).encode()) < 1_000


def test_the_names_are_those_that_zoneinfo_finds_in_the_package() -> None:
    """`posixrules` is a setting of the machine, not a zone. `Factory` is on tzdata's list."""
    program = "import zoneinfo; zoneinfo.reset_tzpath(to=()); print(*zoneinfo.available_timezones())"
    from_package = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert zone_names() == set(from_package.stdout.split())
    assert "Factory" in zone_names()


def test_the_version_is_the_iana_name_of_the_package() -> None:
    """Rows have this release: the package 2026.6 is 2026f."""
    year, _, ordinal = version("tzdata").partition(".")

    assert year + chr(ord("a") + int(ordinal) - 1) == TZDATA_VERSION


def test_the_zone_files_and_the_zone_of_the_machine_play_no_part() -> None:
    """Nodes must agree about an instant, with any zone files or `TZ` in their images."""
    program = (
        "from datetime import date\n"
        "from service.domain.calendar import occurrence\n"
        "print(occurrence(date(2000, 2, 29), 'Asia/Kathmandu', 2027).send_at)"
    )
    environment = {"TZ": "Pacific/Kiritimati", "PYTHONTZPATH": "/nowhere", "PYTHONPATH": ":".join(sys.path)}
    abroad = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert abroad.stdout.strip() == str(datetime(2027, 2, 28, 3, 15, tzinfo=UTC))


def test_loading_leaves_the_settings_of_zoneinfo_alone() -> None:
    """Other code in the process uses `zoneinfo`, too, such as the database driver."""
    path, theirs = zoneinfo.TZPATH, zoneinfo.ZoneInfo("Europe/Paris")

    ours = zone("Europe/Paris")

    assert path == zoneinfo.TZPATH
    assert zoneinfo.ZoneInfo("Europe/Paris") is theirs
    assert ours is not theirs
