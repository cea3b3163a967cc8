"""Parts of the faults that work without nodes. `test_chaos.py` runs faults with nodes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest

from actors.commands.chaos.fault_run import run_fault
from actors.commands.chaos.faults import KINDS, Need, NoEffect, hold, postgres, power
from actors.commands.chaos.faults.api import CONNECTIONS, silent_connections
from actors.commands.chaos.faults.email import attempts_last
from actors.commands.chaos.faults.rules import AHEAD, BEYOND, newcomers_beyond
from actors.commands.chaos.schedule import possible
from actors.commands.sandbox.email_stub import EmailStub, StubOptions, serve
from service.domain.calendar import occurrence
from service.settings import Secret, Settings

HELD = {"createdAt": "2027-03-01T09:00:00Z", "releasedAt": "2027-03-01T09:00:05Z"}
SETTINGS = Settings(database_url=Secret(), redis_url=Secret(), email_url=Secret())


@pytest.mark.parametrize("hour", range(24))
@pytest.mark.parametrize("send_at", [time(9), time(8, 30), time(12)])
def test_the_change_of_the_rule_moves_newcomers_into_the_planned_range(hour: int, send_at: time) -> None:
    """Otherwise the change of the rule would lose no user, and the fault would show nothing."""
    planned = datetime(2027, 3, 12, hour, 7, tzinfo=UTC)

    zones, shift = newcomers_beyond(planned, send_at)

    assert zones
    earlier = (datetime.combine(datetime(2000, 1, 2), send_at) - shift).time()  # noqa: DTZ001 - a time of day
    for name, instant in zones.items():
        assert BEYOND[0] <= instant - planned <= BEYOND[1]
        dates = [instant.date() + timedelta(days=days) for days in (-1, 0, 1)]
        after = [occurrence(date, name, date.year, at=earlier).send_at for date in dates]
        assert instant - shift in after
        assert instant - shift <= planned - AHEAD


def test_an_outage_lasts_longer_than_all_attempts() -> None:
    """Four waits between five attempts: 1, 2, 3 and 3 seconds."""
    settings = replace(
        SETTINGS,
        email_attempts=5,
        email_backoff=timedelta(seconds=1),
        email_backoff_limit=timedelta(seconds=3),
    )

    assert attempts_last(settings) == 9.0


async def test_a_service_that_refuses_all_may_end_no_more_messages_than_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of two nodes may let as many messages fail as it takes to open its circuit."""
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())
    world = environment()
    world.settings, world.failures_allowed = SETTINGS, 0
    world.until = AsyncMock(return_value=True)

    await KINDS["email-refuse-all"](Random(1)).inject(world)

    assert world.failures_allowed == 2 * SETTINGS.circuit_failures


async def test_silent_connections_are_held_and_then_closed() -> None:
    """The server sees that many clients, and gets no request."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    try:
        async with silent_connections(stub.url) as opened:
            held = opened
        reader, writer = await asyncio.open_connection(stub.host, stub.port)
        writer.write(b"GET /stats HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        await stub.close()

    assert held == CONNECTIONS
    assert b'"requests":0' in answer


def environment(**answers: Any) -> Any:
    """An environment in which no condition ever holds, and the database answers like this."""

    async def until(condition: Callable[[], Awaitable[bool]], *, within: float) -> bool:
        assert within
        return await condition()

    async def answer(name: str) -> Any:
        return answers[name]

    @asynccontextmanager
    async def session() -> AsyncIterator[Any]:
        yield Mock(transaction=lambda **_: nullcontext())

    idle = Mock(met=0, swallowed=0, connections=frozenset())
    own = answers.get("server", AsyncMock())
    relays = {"rabbitmq": answers.get("relay", Mock())}
    slots = [
        SimpleNamespace(
            node_id=f"node-{number}",
            running=True,
            send=lambda _: None,
            relays=relays,
            url="http://127.0.0.1:1",
            log=Path(os.devnull),
            limit_memory=Mock(),
            unlimit_memory=Mock(),
        )
        for number in (1, 2)
    ]
    return SimpleNamespace(
        until=until,
        fleet=SimpleNamespace(slots=slots, relays=lambda _system, of=None: [answers.get("lasting", idle)]),
        stub=EmailStub(StubOptions()),
        servers=SimpleNamespace(
            rabbitmq_url="amqp://h",
            purge_queue=lambda: answer("bundles"),
            delete_queue=lambda: answer("bundles"),
            flush_redis=lambda: answer("keys"),
            consumers=lambda: answer("consumers"),
            redis_full=lambda: nullcontext(lambda: answer("refused")),
            own=SimpleNamespace(
                postgres=own, redis=own, rabbitmq=own, disks=dict.fromkeys(("postgres", "redis", "rabbitmq"), Mock())
            ),
            holding_every_connection=lambda: nullcontext(lambda: answers["connections"]),
            stranger_at_the_queue=lambda: nullcontext(lambda: answers["bundles"]),
        ),
        database=SimpleNamespace(connection=session, value=AsyncMock()),
        ended=AsyncMock(side_effect=lambda _connection=None: answers["ended"]),
        greeted_since=AsyncMock(return_value=True),
        waiting=lambda: answer("waiting"),
        damage_open_message=lambda _place: answer("message"),
        nothing_is_claimed_by=lambda _ids: answer("taken_over"),
    )


@pytest.mark.parametrize(
    "name",
    [
        *("purge-queue", "share-queue", "confirm-and-drop", "damage-row", "flush-redis", "exhaust-connections"),
        *("delay-postgres", "freeze-redis", "half-open-rabbitmq", "reset-email", "lose-claim-answers"),
        *("email-down", "email-unreachable", "starve-node"),
        *("restart-postgres", "kill-postgres", "kill-redis", "restart-rabbitmq", "delete-queue", "fill-redis"),
        *("open-transaction",),
    ],
)
async def test_a_fault_that_meets_nothing_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a queue that was purged of 0 bundles would count as rehearsed."""
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())
    found = environment(bundles=0, message=None, keys=0, connections=0, consumers=0, refused=0, ended=7)
    found.settings = SETTINGS

    with pytest.raises(NoEffect):
        await KINDS[name](Random(1)).inject(found)


@pytest.mark.parametrize("name", ["restart-postgres", "kill-postgres", "kill-redis", "restart-rabbitmq", "cut-power"])
async def test_a_server_that_ends_no_connection_of_a_node_was_not_restarted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes would notice nothing."""
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())
    monkeypatch.setattr(power, "cut_power", AsyncMock())
    monkeypatch.setattr(power, "PowerDisk", Mock)
    server = AsyncMock()
    found = environment(server=server, lasting=Mock(connections=frozenset({"one"})))

    with pytest.raises(NoEffect, match="did not end"):
        await KINDS[name](Random(1)).inject(found)

    assert server.restart.await_count + server.start.await_count > 0


async def test_a_disk_on_which_postgresql_can_write_is_not_full(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log may have reserved space, and then a full disk changes nothing."""
    clock = count()
    monkeypatch.setattr(postgres, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())

    assert not await postgres.refuses_write(database)
    assert await postgres.refuses_write("postgresql://127.0.0.1:1/gone")

    server = Mock(running=True, dsn=lambda: database)
    with pytest.raises(NoEffect, match="refused no write"):
        await KINDS["fill-disk"](Random(1)).inject(environment(server=server))


async def test_a_hold_that_holds_no_message_back_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a due message no call would have begun anyway. The hold is released all the same."""
    monkeypatch.setattr(hold, "_post", post := AsyncMock(side_effect=[{"id": "1", **HELD}, HELD]))
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())

    with pytest.raises(NoEffect):
        await KINDS["hold"](Random(1)).inject(environment(waiting=0))

    assert post.await_count == 2


async def test_a_damaged_row_that_no_node_changed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn may be long after the fault. It is repaired all the same."""
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())
    found = environment(message=UUID(int=1))
    found.refused_changes, found.repair_rows = AsyncMock(return_value=0), AsyncMock()

    with pytest.raises(NoEffect, match="no node changed"):
        await KINDS["damage-row"](Random(1)).inject(found)

    found.repair_rows.assert_awaited_once_with()


def test_silent_connections_need_a_queue_that_the_other_nodes_can_be_cut_off_from() -> None:
    """With a Redis stream they may take every bundle, and the node has nothing to send."""
    lacking = {Need.RABBITMQ: "the delivery queue is a Redis stream"}

    faults, skipped = possible([KINDS["silent-connections"](Random(1))], lacking)

    assert (faults, [one.reason for one in skipped]) == ([], [lacking[Need.RABBITMQ]])


async def test_a_queue_is_purged_while_no_node_has_its_bundles() -> None:
    """With few greetings the nodes take every bundle in advance, and the fault would find an empty queue."""
    relay = Mock()
    found = environment(bundles=0, relay=relay)
    found.servers.purge_queue = AsyncMock(side_effect=lambda: relay.cut.call_count - relay.mend.call_count)

    assert await KINDS["purge-queue"](Random(1)).inject(found) == "2 bundles"
    assert relay.mend.call_count == 2


async def test_a_node_that_ended_by_itself_before_a_fault_is_a_problem() -> None:
    """The fault may replace it, and nothing else would tell."""
    found = environment()
    found.fleet.slots[1].running = False
    fault = KINDS["email-down"](Random(1))
    fault.inject = AsyncMock(return_value="")  # type: ignore[method-assign]  # its effect does not matter
    fault.recovered = AsyncMock(return_value=True)  # type: ignore[method-assign]  # the same

    assert (await run_fault(fault, found, left=1)).problems == ("node-2 had ended by itself",)


async def test_a_call_that_began_while_sending_was_held_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on record only when it has ended, so the fault waits for the time-out of a call before it looks."""
    monkeypatch.setattr(hold, "_post", AsyncMock(side_effect=[{"id": "1", **HELD}, HELD]))
    monkeypatch.setattr(asyncio, "sleep", waited := AsyncMock())
    found = environment(waiting=1)
    found.settings = SETTINGS
    found.calls_between = AsyncMock(side_effect=lambda *_: int(waited.call_args.args[0] > 10))
    for slot in found.fleet.slots:
        slot.url = "http://h"
    fault = KINDS["hold"](Random(1))

    await fault.inject(found)
    await fault.cleanup(found)

    assert fault.problems == ["1 calls began while sending was held"]


async def test_a_stopped_node_whose_work_no_other_takes_over_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node would send its messages itself once it continues, and the fault would look recovered from."""
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())
    fault = KINDS["stop-node"](Random(1))

    await fault.inject(environment(taken_over=False))

    assert fault.problems == ["the others did not take over from node-1 within 15 s"]


def test_the_others_must_take_over_from_a_killed_node_within_the_promised_time() -> None:
    """A takeover that takes a minute breaks the promise, although every greeting is sent in the end."""
    assert KINDS["kill-node"].recovery_timeout == 15
