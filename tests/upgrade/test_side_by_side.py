"""A deployment in the middle of a wave: nodes of two versions, and the migration between them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.node.harness import ROOT, World, eventually, python_heyday

PEOPLE = 600

THE_NEXT_VERSION = '''
from service.adapters.postgres import migrations

present = migrations.available()
following = migrations.Migration(present[-1].number + 1, "next.sql", """
    alter table messages add column colour text not null default 'blue';
    alter table users add column nickname text;
    create table moods (message_id uuid primary key, mood text not null);
    create index messages_colour on messages (colour) where status = 'queued';
""")
migrations.available = lambda: [*present, following]
'''


def next_version(directory: Path) -> dict[str, str]:
    """Return the environment of a process with one more migration than this version."""
    (directory / "sitecustomize.py").write_text(THE_NEXT_VERSION)
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}


async def test_a_node_of_the_next_version_waits_for_its_schema_and_then_joins(
    small_world: World, tmp_path: Path
) -> None:
    """The new node finds the old schema, reports what is missing and sends nothing. The migration is applied to the
    tables during the wave. Then both nodes send the rest, and the old one is not disturbed."""
    world, newer = small_world, next_version(tmp_path)
    world.stub.change(world.stub.options.changed({"latency": 0.2}))
    await world.begin()
    at_work = await world.node(EMAIL_CONCURRENCY="15", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(PEOPLE))
    await world.accepted(30)
    # However long the new node takes to start, the wave lasts until the migration is applied.
    world.stub.change(world.stub.options.changed({"latency": 2.0}))

    early = await world.node(beside=newer, EMAIL_CONCURRENCY="15", EMAIL_TIMEOUT="20s")
    outage = await early.logged("outage_began", system="postgres")
    assert "next.sql: run `heyday migrate`" in outage["reason"]
    await world.accepted(world.stub.ledger.accepted + 10)
    assert (await early.get("/health/live"))[0] == 200
    assert (await early.get("/health/ready"))[0] == 503
    assert early.lines_of("node_entered") == []

    assert world.stub.ledger.accepted < PEOPLE
    migration = await python_heyday("migrate", environment={"HEYDAY_DATABASE_URL": world.dsn} | newer)
    assert await migration.ended() == 0
    world.stub.change(world.stub.options.changed({"latency": 0.2}))
    await early.logged("node_entered")
    await world.all_are("sent", PEOPLE)

    assert await world.value("select count(*) from messages where colour = 'blue'") == PEOPLE
    await world.assert_each_was_accepted_once(PEOPLE)
    assert at_work.lines_of("outage_began") == []
    assert at_work.crashes() == early.crashes() == []

    # Then the old node ends, and the new one does everything alone.
    assert await at_work.drained() == 0

    async def ready() -> bool:
        return (await early.get("/health/ready"))[0] == 200

    await eventually(ready)
