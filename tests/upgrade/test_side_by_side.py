"""A deployment in the middle of a wave: nodes of two versions side by side, and the migration between them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.node.harness import ROOT, World, eventually, heyday

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
    """The environment of a process that brings one migration more than this version has."""
    (directory / "sitecustomize.py").write_text(THE_NEXT_VERSION)
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}


async def test_a_node_of_the_next_version_waits_for_its_schema_while_this_one_works_and_then_joins_it(
    small_world: World, tmp_path: Path
) -> None:
    """The new node finds the schema of before, says what is missing and sends nothing; the migration is applied to the
    tables of a wave that goes on; then both work on what is left, and the old one has noticed nothing."""
    world, newer = small_world, next_version(tmp_path)
    world.stub.change(world.stub.options.changed({"latency": 0.2}))
    await world.begin()
    at_work = await world.node(EMAIL_CONCURRENCY="15", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(PEOPLE))
    await world.accepted(30)

    early = await world.node(beside=newer, EMAIL_CONCURRENCY="15", EMAIL_TIMEOUT="20s")
    outage = await early.logged("outage_began", system="postgres")
    assert "next.sql: run `heyday migrate`" in outage["reason"]
    await world.accepted(world.stub.ledger.accepted + 10)
    assert (await early.get("/health/live"))[0] == 200
    assert (await early.get("/health/ready"))[0] == 503
    assert early.lines_of("node_entered") == []

    assert world.stub.ledger.accepted < PEOPLE
    migration = await heyday("migrate", environment={"HEYDAY_DATABASE_URL": world.dsn} | newer)
    assert await migration.ended() == 0
    await early.logged("node_entered")
    await world.all_are("sent", PEOPLE)

    assert await world.value("select count(*) from messages where colour = 'blue'") == PEOPLE
    assert len(world.acceptances()) == PEOPLE
    assert at_work.lines_of("outage_began") == []
    assert at_work.crashes() == early.crashes() == []

    # And the old one is replaced, as it would be: the new one does everything alone.
    assert await at_work.drained() == 0

    async def ready() -> bool:
        return (await early.get("/health/ready"))[0] == 200

    await eventually(ready)
