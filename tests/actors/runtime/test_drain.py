"""A drain stops accepting, finishes the work, closes, and reports what it abandoned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from actors.runtime import (
    Abandoned,
    Address,
    Backoff,
    ChildSpec,
    Crashed,
    Drained,
    Draining,
    Escalated,
    Intensity,
    Pool,
    Restarting,
    Started,
    Stopped,
    Supervisor,
)
from tests.actors.runtime.stage import (
    AT_ONCE,
    Do,
    Gate,
    Naps,
    Observer,
    Puppet,
    Stage,
    crash,
    hang,
    nothing,
    say,
    turns,
)

FAR = 60.0


async def test_what_is_in_the_mailbox_is_received_before_the_actor_stops() -> None:
    """An accepted message is processed."""
    stage = Stage()
    await stage.supervisor.start()
    gate = Gate()
    for message in (gate, say("one"), say("two")):
        await stage.address.tell(message)
    await gate.reached.wait()

    draining = asyncio.ensure_future(stage.supervisor.drain(FAR))
    await turns()
    gate.opened.set()
    report = await draining

    assert report.clean
    assert stage.journal == ["start", "drain", "one", "two", "stop"]
    assert [type(event) for event in stage.observer.events[-4:]] == [Draining, Draining, Drained, Drained]


async def test_an_actor_knows_that_it_is_draining_while_it_still_works_on_a_message() -> None:
    """A long pass can end early instead of being cut off."""
    stage = Stage()
    gate = Gate()
    seen: list[bool] = []

    async def look(puppet: Puppet) -> None:
        seen.append(puppet.ctx.draining)
        await gate(puppet)
        seen.append(puppet.ctx.draining)

    await stage.supervisor.start()
    await stage.address.tell(look)
    await gate.reached.wait()

    draining = asyncio.ensure_future(stage.supervisor.drain(FAR))
    await turns()
    gate.opened.set()
    await draining

    assert seen == [False, True]


async def test_a_draining_actor_takes_nothing_from_others_but_hears_its_own_tasks_out() -> None:
    """The outcome of a mail that was being sent when the drain began must be recorded."""
    stage = Stage()
    gate = Gate()

    async def spawn(puppet: Puppet) -> None:
        async def send() -> None:
            await gate(puppet)
            await puppet.ctx.self.tell(say("outcome"))

        puppet.ctx.spawn(send(), name="send")

    await stage.supervisor.start()
    await stage.address.tell(spawn)
    await gate.reached.wait()

    draining = asyncio.ensure_future(stage.supervisor.drain(FAR))
    await stage.observer.until(Draining, "puppet")
    await turns()
    with pytest.raises(Stopped):
        await stage.address.tell(nothing)
    gate.opened.set()

    assert (await draining).clean
    assert stage.journal == ["start", "drain", "outcome", "stop"]


async def test_a_timer_still_fires_while_tasks_are_awaited_and_does_not_hold_up_the_drain() -> None:
    """A batch is written on time although a last mail is slow. The drain does not wait for a tick in an hour."""
    stage = Stage()
    gate = Gate()

    async def set_up(puppet: Puppet) -> None:
        async def flush(puppet: Puppet) -> None:
            if not puppet.ctx.draining:
                puppet.ctx.after(0.01, flush)
                return
            puppet.journal.append("flush")
            gate.opened.set()

        puppet.ctx.after(3600.0, say("never"))
        puppet.ctx.after(0.01, flush)
        puppet.ctx.spawn(gate(puppet), name="slow")

    await stage.supervisor.start()
    await stage.address.tell(set_up)
    await gate.reached.wait()

    report = await stage.supervisor.drain(FAR)

    assert report.clean
    assert stage.journal == ["start", "drain", "flush", "stop"]


async def test_children_drain_in_reverse_order_each_after_the_one_before_it() -> None:
    """Upstream hands over its work while downstream still runs."""
    journal: list[str] = []
    upstream: Address[Do] = Address("upstream", 10)
    downstream: Address[Do] = Address("downstream", 10)

    async def hand_over(_: Puppet) -> None:
        await downstream.tell(say("handed over"))

    supervisor = Supervisor(
        "s",
        [
            ChildSpec("downstream", lambda: Puppet(journal, name="downstream"), downstream),
            ChildSpec("upstream", lambda: Puppet(journal, name="upstream", on_drain=hand_over), upstream),
        ],
    )
    await supervisor.start()
    journal.clear()

    report = await supervisor.drain(FAR)

    assert report.clean
    assert journal == ["drain upstream", "stop upstream", "handed over", "drain downstream", "stop downstream"] or (
        journal == ["drain upstream", "handed over", "stop upstream", "drain downstream", "stop downstream"]
    )


async def test_a_drain_that_runs_out_of_time_reports_what_it_abandoned() -> None:
    """An operator must see it. The stores deliver the work again."""
    stage = Stage()
    errand_begun = asyncio.Event()

    async def spawn(puppet: Puppet) -> None:
        async def errand() -> None:
            errand_begun.set()
            await asyncio.Event().wait()

        puppet.ctx.spawn(errand(), name="owned")
        puppet.ctx.spawn(errand(), name="isolated", isolated=True)

    await stage.supervisor.start()
    for message in (spawn, hang, nothing, nothing, nothing):
        await stage.address.tell(message)
    await errand_begun.wait()

    report = await stage.supervisor.drain(0.02)

    expected = Abandoned("puppet", messages=3, tasks=2, receiving=True)
    assert report.abandoned == (expected,)
    assert not report.clean
    assert stage.observer.of(Abandoned) == [expected]
    assert stage.journal == ["start", "stop"]


async def test_a_child_that_needs_too_long_does_not_use_up_the_time_of_the_others() -> None:
    """The other actors still get time to finish if one hangs."""
    journal: list[str] = []
    addresses: list[Address[Do]] = [Address("first", 10), Address("hung", 10)]
    supervisor = Supervisor(
        "s",
        [
            ChildSpec("first", lambda: Puppet(journal, name="first"), addresses[0]),
            ChildSpec("hung", lambda: Puppet(journal, name="hung"), addresses[1], drain_within=0.01),
        ],
    )
    await supervisor.start()
    await addresses[1].tell(hang)
    await turns()

    report = await supervisor.drain(FAR)

    assert [left.actor for left in report.abandoned] == ["hung"]
    assert journal[-2:] == ["drain first", "stop first"]


@pytest.mark.parametrize("where", ["on_drain", "message"])
async def test_a_crash_while_draining_restarts_no_child(where: str) -> None:
    """A new instance would accept work while the node ends."""
    stage = Stage(on_drain=crash if where == "on_drain" else nothing)
    gate = Gate()
    await stage.supervisor.start()
    for message in (gate, crash, say("left behind")):
        await stage.address.tell(message)
    await gate.reached.wait()

    draining = asyncio.ensure_future(stage.supervisor.drain(FAR))
    await stage.observer.until(Draining, "puppet")
    gate.opened.set()
    report = await draining

    assert stage.journal == ["start", "drain", "stop"]
    assert report.abandoned == (
        Abandoned("puppet", messages=2 if where == "on_drain" else 1, tasks=0, receiving=False),
    )
    assert stage.observer.of(Restarting) == []


async def test_a_child_that_crashes_before_it_drains_leaves_no_sender_waiting() -> None:
    """Otherwise the upstream child, which drains first, waits for room in a mailbox that is never emptied."""
    observer = Observer()
    gate = Gate()
    outcome: list[str] = []
    downstream: Address[Do] = Address("downstream", 1)
    upstream: Address[Do] = Address("upstream", 1)

    async def hand_over(puppet: Puppet) -> None:
        await gate(puppet)
        try:
            for _ in range(3):
                await downstream.tell(nothing)
        except Stopped:
            outcome.append("stopped")

    supervisor = Supervisor(
        "s",
        [
            ChildSpec("downstream", lambda: Puppet([]), downstream),
            ChildSpec("upstream", lambda: Puppet([], on_drain=hand_over), upstream),
        ],
        on_event=observer,
    )
    await supervisor.start()
    draining = asyncio.ensure_future(supervisor.drain(FAR))
    await gate.reached.wait()

    await downstream.tell(crash)
    gate.opened.set()
    await draining

    assert outcome == ["stopped"]
    assert observer.of(Restarting) == []


async def test_a_child_in_back_off_when_the_drain_begins_leaves_no_sender_waiting() -> None:
    """It is not started again, so a sender that waits for room in its mailbox gets an error."""
    naps, gate = Naps(), Gate()
    downstream: Address[Do] = Address("downstream", 1)
    supervisor = Supervisor(
        "s",
        [
            ChildSpec("downstream", lambda: Puppet([]), downstream),
            ChildSpec("upstream", lambda: Puppet([], on_drain=gate), Address("upstream", 1)),
        ],
        backoff=Backoff(random=lambda: 1.0),
        sleep=naps,
    )
    await supervisor.start()
    await downstream.tell(crash)
    await naps.begun()
    await downstream.tell(nothing)
    sender = asyncio.ensure_future(downstream.tell(nothing))

    draining = asyncio.ensure_future(supervisor.drain(FAR))
    await gate.reached.wait()

    async with asyncio.timeout(8):  # before upstream runs out of its time to drain
        with pytest.raises(Stopped):
            await sender
    gate.opened.set()
    await draining


async def test_a_pool_whose_cells_all_crash_during_a_drain_leaves_no_sender_waiting() -> None:
    """The mailbox is shared, so it ends with the last of them."""
    gate, observer = Gate(), Observer()
    address: Address[Do] = Address("pool", 1)
    supervisor = Supervisor(
        "s",
        [
            Pool("pool", lambda _: Puppet([]), address, size=2),
            ChildSpec("upstream", lambda: Puppet([], on_drain=gate), Address("upstream", 1)),
        ],
        on_event=observer,
    )
    await supervisor.start()
    draining = asyncio.ensure_future(supervisor.drain(FAR))
    await gate.reached.wait()

    for cell in ("pool-0", "pool-1"):
        await address.tell(crash)
        await observer.until(Crashed, cell)

    async with asyncio.timeout(60):
        with pytest.raises(Stopped):
            await address.tell(nothing)
    gate.opened.set()
    assert (await draining).clean


async def test_draining_a_child_in_back_off_ends_it_without_starting_it() -> None:
    """Its mailbox is reported. A wait for its restart would delay the others."""
    naps = Naps()
    address: Address[Do] = Address("puppet", 10)
    journal: list[str] = []
    supervisor = Supervisor(
        "s",
        [ChildSpec("puppet", lambda: Puppet(journal), address)],
        backoff=Backoff(random=lambda: 1.0),
        sleep=naps,
    )
    await supervisor.start()
    await address.tell(crash)
    await address.tell(nothing)
    await naps.begun()

    report = await supervisor.drain(FAR)

    assert journal == ["start", "stop"]
    assert report.abandoned == (Abandoned("puppet", messages=1, tasks=0, receiving=False),)


async def test_draining_while_a_child_is_starting_cuts_its_start_short() -> None:
    """SIGTERM may arrive while a start waits for a server."""
    stage = Stage(on_start=hang)
    running = asyncio.ensure_future(stage.supervisor.run())
    await turns()

    report = await stage.supervisor.drain(FAR)

    assert report.clean
    assert stage.journal == ["start", "stop"]
    await running


@pytest.mark.parametrize("after", range(8))
async def test_a_start_that_is_cancelled_half_way_leaves_no_task_behind(after: int) -> None:
    """Children that have started are stopped, and the fixture counts the tasks."""
    stage = Stage(on_start=hang)
    starting = asyncio.ensure_future(stage.supervisor.start())
    await turns(after)

    starting.cancel()
    await asyncio.wait([starting])

    assert stage.journal.count("start") == stage.journal.count("stop")


async def test_a_run_that_is_cancelled_ends_everything_at_once() -> None:
    """The end of the event loop cancels it like this."""
    stage = Stage()
    running = asyncio.ensure_future(stage.supervisor.run())
    await stage.heard()
    await stage.address.tell(hang)
    await turns()

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert stage.journal == ["start", "heard", "stop"]


async def test_a_run_that_is_cancelled_while_it_gives_up_does_not_wait_for_isolated_tasks() -> None:
    """Isolated tasks get extra time only in an orderly end."""
    observer = Observer()
    gate = Gate()
    address: Address[Do] = Address("puppet", 10)

    async def spawn_and_crash(puppet: Puppet) -> None:
        puppet.ctx.spawn(gate(puppet), name="send", isolated=True)
        await gate.reached.wait()
        raise ValueError("told to crash")

    supervisor = Supervisor(
        "s",
        [ChildSpec("puppet", lambda: Puppet([]), address, drain_within=FAR)],
        intensity=Intensity(restarts=0),
        on_event=observer,
    )
    running = asyncio.ensure_future(supervisor.run())
    await address.tell(spawn_and_crash)
    await observer.until(Escalated)
    await turns(20)

    running.cancel()

    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_drain_that_is_cancelled_ends_everything_at_once() -> None:
    """This is the second Ctrl-C."""
    stage = Stage()
    await stage.supervisor.start()
    await stage.address.tell(hang)
    draining = asyncio.ensure_future(stage.supervisor.drain(FAR))
    await stage.observer.until(Draining, "puppet")

    draining.cancel()

    with pytest.raises(asyncio.CancelledError):
        await draining
    assert stage.journal == ["start", "stop"]
    await stage.supervisor.wait()


async def test_a_second_drain_waits_for_the_first_and_reports_the_same() -> None:
    """Two signals cause one drain."""
    stage = Stage()
    await stage.supervisor.start()

    first, second = await asyncio.gather(stage.supervisor.drain(FAR), stage.supervisor.drain(FAR))

    assert first is second
    assert stage.journal == ["start", "drain", "stop"]


# --- Pools -----------------------------------------------------------------------------------------------------


def pool_of(size: int, make: Callable[[int], Puppet], address: Address[Do], observer: Observer) -> Supervisor:
    """A supervisor with nothing but a pool."""
    return Supervisor("s", [Pool("pool", make, address, size=size)], backoff=AT_ONCE, on_event=observer)


async def test_a_pool_that_drains_receives_every_message_once_and_ends_every_cell() -> None:
    """The first cell to end must not consume the end markers of the other cells."""
    journal: list[str] = []
    address: Address[Do] = Address("pool", 100)
    gates = [Gate() for _ in range(4)]
    supervisor = pool_of(4, lambda number: Puppet(journal, name=str(number)), address, Observer())
    await supervisor.start()
    for gate in gates:
        await address.tell(gate)
    for number in range(50):
        await address.tell(say(f"message {number}"))
    for gate in gates:
        await gate.reached.wait()
    journal.clear()

    draining = asyncio.ensure_future(supervisor.drain(FAR))
    for gate in reversed(gates):
        gate.opened.set()
        await turns()
    report = await draining

    assert report.clean
    assert sorted(journal) == sorted(
        [f"message {number}" for number in range(50)]
        + [f"{word} {cell}" for word in ("drain", "stop") for cell in range(4)]
    )


async def test_an_idle_pool_drains_every_cell() -> None:
    """All cells wait for the same mailbox, and all of them must wake up."""
    journal: list[str] = []
    supervisor = pool_of(3, lambda number: Puppet(journal, name=str(number)), Address("pool", 10), Observer())
    await supervisor.start()

    report = await supervisor.drain(FAR)

    assert report.clean
    assert sorted(journal) == sorted(f"{word} {cell}" for word in ("start", "drain", "stop") for cell in range(3))


async def test_a_cell_that_crashes_in_a_drain_leaves_its_messages_to_its_siblings() -> None:
    """The messages are still in the shared mailbox."""
    journal: list[str] = []
    address: Address[Do] = Address("pool", 10)
    gate, observer = Gate(), Observer()
    supervisor = pool_of(2, lambda number: Puppet(journal, name=str(number)), address, observer)
    await supervisor.start()
    await address.tell(gate)
    await gate.reached.wait()
    for message in (crash, say("one"), say("two")):
        address.offer(message)

    draining = asyncio.ensure_future(supervisor.drain(FAR))
    await turns(20)
    gate.opened.set()
    report = await draining

    assert report.clean
    assert {"one", "two"} <= set(journal)
    assert observer.of(Restarting) == []


async def test_the_messages_that_a_pool_leaves_are_reported_once() -> None:
    """They belong to the pool and are not counted for each cell."""
    address: Address[Do] = Address("pool", 10)
    observer = Observer()
    supervisor = pool_of(2, lambda _: Puppet([]), address, observer)
    await supervisor.start()
    for message in (hang, hang, nothing, nothing, nothing):
        await address.tell(message)
    await turns()

    report = await supervisor.drain(0.0)

    assert report.abandoned == (
        Abandoned("pool-0", messages=0, tasks=0, receiving=True),
        Abandoned("pool-1", messages=0, tasks=0, receiving=True),
        Abandoned("pool", messages=3, tasks=0, receiving=False),
    )


async def test_the_task_of_one_cell_may_still_be_heard_by_another_while_the_pool_drains() -> None:
    """A cell that is done ends, and the mailbox stays open for the others."""
    journal: list[str] = []
    address: Address[Do] = Address("pool", 10)
    gate, observer = Gate(), Observer()

    async def spawn(puppet: Puppet) -> None:
        async def send() -> None:
            await gate(puppet)
            await puppet.ctx.self.tell(say("outcome"))

        puppet.ctx.spawn(send(), name="send", isolated=True)

    supervisor = pool_of(2, lambda number: Puppet(journal, name=str(number)), address, observer)
    await supervisor.start()
    await address.tell(spawn)
    await gate.reached.wait()

    draining = asyncio.ensure_future(supervisor.drain(FAR))
    await observer.until(Drained)
    gate.opened.set()
    report = await draining

    assert report.clean
    assert "outcome" in journal
    assert len(observer.of(Started, "pool")) == 1
