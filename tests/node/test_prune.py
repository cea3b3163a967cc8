"""`heyday prune` while a node greets."""

from __future__ import annotations

import asyncio

from actors.commands.prune import run
from actors.commands.registry import parser_for
from tests.node.harness import World

OLD = """
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, ended_at)
select uuid_v7(), 'birthday', 2024, 'UTC', at, at, 'sent', 1, 't', at
from generate_series(1, 20000), (values (timestamptz '2024-05-05 09:00Z')) t (at)
"""


async def test_a_wave_leaves_while_an_old_year_is_removed(small_world: World) -> None:
    """All greetings leave meanwhile, no actor crashes, and none loses the database."""
    world = small_world
    await world.begin()
    await world.fetch("select ensure_year(2024)")
    await world.fetch(OLD)
    node = await world.node()
    await node.logged("node_entered")
    await world.clock.set(await world.wave(300))

    args = parser_for(["prune"]).parse_args(["prune", "--before", "2025"])
    pruned = asyncio.to_thread(run, args, {"HEYDAY_DATABASE_URL": world.dsn})
    code, _ = await asyncio.gather(pruned, world.all_are("sent", 300))

    assert code == 0
    assert await world.value("select to_regclass('messages_2024') is null and to_regclass('attempts_2024') is null")
    assert await world.value("select subject_id from audit where action = 'year.pruned'") == "2024"
    assert node.crashes() == []
    assert node.lines_of("outage_began", system="postgres") == []
