"""Countries change their clocks: a node with newer time zone data moves unsent messages of all nodes."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.zones import TZDATA_VERSION
from tests.node.harness import NOON, ROOT, NodeProcess, World, eventually

NEWER = "2999z"

PARIS = "Europe/Paris"
"""From now on it has the time of London."""

PUERTO_RICO = "America/Puerto_Rico"
"""From now on it is two hours nearer to Greenwich."""

NUUK_SOUTH = "America/Nuuk_South"
"""A zone that only the newer release has, with the time of UTC."""


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a process with a release of tzdata made for this test."""
    directory = tmp_path_factory.mktemp("newer") / "tzdata"
    spec = importlib.util.find_spec("tzdata")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, directory)
    code = (directory / "__init__.py").read_text()
    (directory / "__init__.py").write_text(re.sub(r"IANA_VERSION = .*", f"IANA_VERSION = {NEWER!r}", code))
    for changed, now_like in {PARIS: "Europe/London", PUERTO_RICO: "America/Noronha"}.items():
        shutil.copyfile(directory / "zoneinfo" / now_like, directory / "zoneinfo" / changed)
    shutil.copyfile(directory / "zoneinfo" / "UTC", directory / "zoneinfo" / NUUK_SOUTH)
    with (directory / "zones").open("a") as zones:
        zones.write(f"{NUUK_SOUTH}\n")
    return {"PYTHONPATH": os.pathsep.join([str(directory.parent), str(ROOT)])}


async def followed(world: World) -> str:
    """Return the release that the database records."""
    return str(await world.value("select tzdata from planning"))


async def instants(world: World, timezone: str) -> set[datetime]:
    """Return the due instants of a zone's messages."""
    return {row[0] for row in await world.fetch("select send_at from messages where timezone = $1", timezone)}


async def an_older_node_has_planned(world: World) -> NodeProcess:
    """Forty users in Paris, thirty in UTC, and one in Puerto Rico just beyond the planned time."""
    await world.begin()
    await world.users(40, date(2027, 3, 15), timezone=PARIS)
    await world.users(30, date(2027, 3, 15))
    await world.users(1, date(2027, 3, 16), timezone=PUERTO_RICO)
    older = await world.node()
    await world.planned(70)

    async def noted() -> bool:
        return await followed(world) == TZDATA_VERSION

    await eventually(noted)
    assert await instants(world, PARIS) == {datetime(2027, 3, 15, 8, tzinfo=UTC)}
    assert await instants(world, PUERTO_RICO) == set()
    return older


async def test_newer_zone_data_moves_what_is_unsent(small_world: World, newer: dict[str, str]) -> None:
    """Planned with the old data, greeted with the new. Messages that move into the planned time are made."""
    world = small_world
    older = await an_older_node_has_planned(world)
    assert await older.drained() == 0

    said = await preview_difference(world, newer)
    node = await world.node(beside=newer)
    line = await node.logged("zone_data_followed")
    await world.planned(71)

    assert said == [("Europe/Paris", 40, "2027-03-15T08:00:00Z", "2027-03-15T09:00:00Z")]
    assert (line["before"], line["release"], line["messages"]) == (TZDATA_VERSION, NEWER, 40)
    assert line["zones"] == ["Europe/Paris +1 h: 40"]
    assert await followed(world) == NEWER
    assert await instants(world, PUERTO_RICO) == {datetime(2027, 3, 16, 11, tzinfo=UTC)}
    assert await preview_difference(world, newer) == []

    await world.clock.set(NOON + timedelta(hours=20, minutes=59))
    await node.call("POST", "/api/v1/jobs/minute:run")
    assert world.acceptances() == []
    await world.clock.set(NOON + timedelta(hours=47))
    await world.all_are("sent", 71)
    await world.assert_nobody_was_greeted_early()
    await world.assert_nobody_was_greeted_twice()


async def test_people_in_a_zone_unknown_to_an_older_node_are_planned_by_a_newer_one(
    small_world: World, newer: dict[str, str]
) -> None:
    """An older node leaves them out, because it does not know the zone. No user is lost, also not today."""
    world = small_world
    await world.begin()
    await world.users(1, date(2027, 3, 14), timezone="America/Noronha")
    await world.users(3, date(2027, 3, 15), timezone=NUUK_SOUTH)
    await world.users(2, date(2027, 3, 15))
    older = await world.node()
    await world.planned(2)
    assert await older.drained() == 0
    assert await instants(world, NUUK_SOUTH) == set()

    await world.node(beside=newer)
    await world.planned(5)

    assert await instants(world, NUUK_SOUTH) == {datetime(2027, 3, 15, 9, tzinfo=UTC)}
    assert await instants(world, "America/Noronha") == set()
    await world.clock.set(NOON + timedelta(hours=21))
    await world.all_are("sent", 5)


async def test_what_an_older_node_plans_beside_a_newer_one_is_moved_when_it_has_gone(
    small_world: World, newer: dict[str, str]
) -> None:
    """During a rollout both plan; the newer node checks again when the older one has gone."""
    world = small_world
    older = await an_older_node_has_planned(world)
    node = await world.node(beside=newer)
    await node.logged("zone_data_followed", last=False)
    assert await followed(world) == TZDATA_VERSION

    person = {"firstName": "Léa", "lastName": "Roux", "email": "lea@a.test", "timezone": PARIS}
    status, _ = await older.call("POST", "/api/v1/users", json=person | {"birthdayDate": "1990-03-15"})
    assert status == 201
    assert len(await instants(world, PARIS)) == 2
    assert await older.drained() == 0
    await node.logged("zone_data_followed", last=True)

    assert await followed(world) == NEWER
    assert await instants(world, PARIS) == {datetime(2027, 3, 15, 9, tzinfo=UTC)}


async def test_an_older_node_says_so_and_what_it_plans_is_looked_at_again(
    small_world: World, newer: dict[str, str]
) -> None:
    """If an old image is started again, its plans are corrected when it ends."""
    world = small_world
    await world.begin()
    node = await world.node(beside=newer)
    await node.logged("zone_data_followed", last=True)

    older = await world.node()
    await older.logged("zone_data_older", followed=NEWER)
    await world.users(5, date(2027, 3, 15), timezone=PARIS)
    await world.fetch("update planning set planned_until = $1", NOON)
    assert (await older.call("POST", "/api/v1/jobs/daily:run"))[0] == 202
    await world.planned(5)
    await older.kill()

    await node.logged("zone_data_followed", last=True, times=2)
    assert await instants(world, PARIS) == {datetime(2027, 3, 15, 9, tzinfo=UTC)}
    assert await followed(world) == NEWER


async def preview_difference(world: World, newer: dict[str, str]) -> list[tuple[str, int, str, str]]:
    """Return the output of `heyday preview --tzdata-diff`: zone, messages, instant before and after."""
    command = (sys.executable, "-m", "actors.cli", "preview", "--tzdata-diff", "--json")
    environment = os.environ | newer | {"HEYDAY_DATABASE_URL": world.dsn}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(line["timezone"], line["messages"], line["sendAt"], line["movedTo"]) for line in lines]
