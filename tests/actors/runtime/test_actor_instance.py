"""One instance of an actor: its start, its crashes, its timers and its tasks."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from actors.runtime import (
    Crashed,
    Restarting,
    StopFailed,
    Stopped,
    StrayCancellation,
    TaskFailed,
    Timer,
    actor_instance,
)
from tests.actors.runtime.stage import Do, Gate, Puppet, Stage, crash, hang, nothing, say, timers_fired, turns

FAR = 60.0


def spawning(work: Do, *, isolated: bool = False, name: str = "errand") -> Do:
    """Make a message that lets the puppet run this in its own task."""

    async def do(puppet: Puppet) -> None:
        async def errand() -> None:
            await work(puppet)

        puppet.ctx.spawn(errand(), name=name, isolated=isolated)

    return do


async def test_a_crash_makes_a_new_instance_and_does_not_replay_the_message() -> None:
    """A message that always crashes would crash every instance. The stores deliver the work again."""
    stage = Stage()
    await stage.supervisor.start()
    gate = Gate()
    lives: list[Puppet] = []

    async def note(puppet: Puppet) -> None:
        lives.append(puppet)

    for message in (note, gate, crash, say("after"), note):
        await stage.address.tell(message)
    gate.opened.set()

    await stage.heard()
    assert stage.journal == ["start", "stop", "start", "after", "heard"]
    assert lives[0] is not lives[1]
    assert isinstance(stage.observer.of(Crashed)[0].error, ValueError)
    await stage.supervisor.drain(FAR)


async def test_a_failure_to_stop_is_reported_and_the_actor_restarts_all_the_same() -> None:
    """Cleaning up is a best effort: a resource that cannot be closed must not stop the work."""
    stage = Stage(on_stop=crash)
    await stage.supervisor.start()

    await stage.address.tell(crash)

    await stage.observer.until(StopFailed)
    assert await stage.heard() == "heard"
    await stage.supervisor.drain(FAR)


async def test_a_stop_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain must end in time."""
    monkeypatch.setattr(actor_instance, "STOP_TIMEOUT", 0.02)
    stage = Stage(on_stop=hang)
    await stage.supervisor.start()

    await stage.supervisor.drain(FAR)

    assert isinstance(stage.observer.of(StopFailed)[0].error, TimeoutError)


async def test_a_cancellation_from_elsewhere_restarts_the_actor() -> None:
    """A closed channel cancels a future that the actor awaits.

    If that counted as a stop, the actor would end without an error.
    """
    stage = Stage()
    await stage.supervisor.start()

    async def wait_for_a_closed_channel(_: Puppet) -> None:
        channel: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.cancel()
        await channel

    await stage.address.tell(wait_for_a_closed_channel)

    crashed = await stage.observer.until(Crashed)
    assert isinstance(crashed.error, StrayCancellation)
    assert await stage.heard() == "heard"
    await stage.supervisor.drain(FAR)


async def test_a_library_that_cancels_the_task_of_an_actor_restarts_it() -> None:
    """Only the supervisor stops an actor. Any other cancellation of its task is a failure."""
    stage = Stage()
    await stage.supervisor.start()

    async def be_cancelled(_: Puppet) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    await stage.address.tell(be_cancelled)

    await stage.observer.until(Restarting)
    assert await stage.heard() == "heard"
    await stage.supervisor.drain(FAR)


async def test_a_message_handed_over_in_the_turn_of_a_crash_goes_to_the_next_instance() -> None:
    """The crashed instance had not received it."""
    stage = Stage()
    await stage.supervisor.start()
    await turns()
    task = next(task for task in asyncio.all_tasks() if task.get_name() == "puppet")

    stage.address.offer(say("kept"))
    task.cancel()

    await stage.heard()
    assert stage.journal == ["start", "stop", "start", "kept", "heard"]
    await stage.supervisor.drain(FAR)


async def test_an_actor_that_swallows_its_cancellation_is_ended_all_the_same() -> None:
    """Code that catches every exception must not stop a node from ending."""
    stage = Stage(drain_within=0.0)
    gate = Gate()

    async def swallow(puppet: Puppet) -> None:
        try:
            await gate(puppet)
        except asyncio.CancelledError:
            puppet.journal.append("swallowed")

    await stage.supervisor.start()
    await stage.address.tell(swallow)
    await gate.reached.wait()

    await stage.supervisor.drain(FAR)

    assert stage.journal == ["start", "swallowed", "stop"]


async def test_an_actor_that_never_waits_leaves_turns_of_the_loop_to_others() -> None:
    """Otherwise a `receive` that awaits nothing blocks the node while messages keep coming."""
    stage = Stage()
    await stage.supervisor.start()
    ended = False

    async def go_on(puppet: Puppet) -> None:
        if not ended:
            assert puppet.ctx.self.offer(go_on)

    await stage.address.tell(go_on)

    async with asyncio.timeout(10):
        await turns()
    ended = True
    await stage.supervisor.drain(FAR)


# --- Timers ----------------------------------------------------------------------------------------------------


async def test_a_timer_delivers_its_message_to_the_actor_between_two_others() -> None:
    """The timer's message must not run at the same time as a `receive` that waits."""
    stage = Stage()
    gate = Gate()

    async def arm_and_wait(puppet: Puppet) -> None:
        puppet.ctx.after(0.0, say("timer"))
        await gate(puppet)
        await timers_fired()
        puppet.journal.append("worked")

    await stage.supervisor.start()
    await stage.address.tell(arm_and_wait)
    await gate.reached.wait()
    gate.opened.set()

    await stage.heard()
    assert stage.journal == ["start", "worked", "timer", "heard"]
    await stage.supervisor.drain(FAR)


async def test_a_timer_that_fires_while_the_mailbox_is_full_is_received() -> None:
    """A ticker that lost one tick would stop for good."""
    stage = Stage(capacity=1)
    gate = Gate()
    fired = asyncio.Event()

    async def arm_and_wait(puppet: Puppet) -> None:
        async def tick(_: Puppet) -> None:
            fired.set()

        puppet.ctx.after(0.0, tick)
        await gate(puppet)
        await timers_fired()

    await stage.supervisor.start()
    await stage.address.tell(arm_and_wait)
    await gate.reached.wait()
    assert stage.address.offer(say("fills the mailbox"))

    gate.opened.set()

    async with asyncio.timeout(10):
        await fired.wait()
    await stage.supervisor.drain(FAR)


async def test_a_cancelled_timer_does_not_deliver_even_when_it_has_fired() -> None:
    """The actor can cancel a timer until it has received the message."""
    stage = Stage()
    timers: list[Timer[Do]] = []

    async def arm_and_cancel(puppet: Puppet) -> None:
        timers.append(puppet.ctx.after(0.0, say("timer")))
        await timers_fired()
        timers[0].cancel()

    await stage.supervisor.start()

    await stage.address.tell(arm_and_cancel)

    await stage.heard()
    assert "timer" not in stage.journal
    await stage.supervisor.drain(FAR)


async def test_a_timer_of_a_dead_instance_never_reaches_the_new_one() -> None:
    """Each instance sets its own timer. With inherited timers, every crash would add a tick."""
    stage = Stage()

    async def arm_and_crash(puppet: Puppet) -> None:
        puppet.ctx.after(0.0, say("fired"))
        puppet.ctx.after(0.02, say("pending"))
        await timers_fired()
        raise ValueError("told to crash")

    async def outlive(_: Puppet) -> None:
        await timers_fired(0.02)

    await stage.supervisor.start()

    await stage.address.tell(arm_and_crash)
    await stage.address.tell(outlive)

    await stage.heard()
    assert stage.journal == ["start", "stop", "start", "heard"]
    await stage.supervisor.drain(FAR)


async def test_an_instance_that_has_ended_is_not_kept_by_its_timers() -> None:
    """A timer of one day would keep every crashed instance in memory for a day."""
    stage = Stage()
    lives: list[weakref.ref[Puppet]] = []

    async def arm_and_crash(puppet: Puppet) -> None:
        lives.append(weakref.ref(puppet))
        puppet.ctx.after(86_400.0, nothing)
        raise ValueError("told to crash")

    await stage.supervisor.start()

    await stage.address.tell(arm_and_crash)
    await stage.heard()
    stage.observer.events.clear()  # the traceback of the crash holds the instance, too
    gc.collect()

    assert lives[0]() is None
    await stage.supervisor.drain(FAR)


# --- Tasks -----------------------------------------------------------------------------------------------------


async def test_the_crash_of_a_task_crashes_its_actor_in_the_middle_of_its_work() -> None:
    """An actor whose consumer has died must not go on as if it were consuming."""
    stage = Stage()
    await stage.supervisor.start()

    await stage.address.tell(spawning(crash))
    await stage.address.tell(hang)

    crashed = await stage.observer.until(Crashed)
    assert isinstance(crashed.error, ValueError)
    assert await stage.heard() == "heard"
    await stage.supervisor.drain(FAR)


async def test_the_crash_of_an_actor_cancels_its_tasks_before_it_stops() -> None:
    """stop() closes the resources that the tasks use."""
    stage = Stage()
    gate = Gate()

    async def errand(puppet: Puppet) -> None:
        try:
            await gate(puppet)
        finally:
            puppet.journal.append("task ended")

    await stage.supervisor.start()
    await stage.address.tell(spawning(errand))
    await gate.reached.wait()

    await stage.address.tell(crash)

    await stage.heard()
    assert stage.journal == ["start", "task ended", "stop", "start", "heard"]
    await stage.supervisor.drain(FAR)


async def test_a_task_that_the_actor_cancels_itself_is_no_failure() -> None:
    """An actor ends its consumer this way when it drains."""
    stage = Stage()

    async def spawn_and_cancel(puppet: Puppet) -> None:
        task = puppet.ctx.spawn(asyncio.Event().wait(), name="consumer")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    await stage.supervisor.start()

    await stage.address.tell(spawn_and_cancel)

    await stage.heard()
    assert stage.journal == ["start", "heard"]
    await stage.supervisor.drain(FAR)


async def test_a_cancellation_that_a_task_meets_crashes_its_actor() -> None:
    """A consumer whose channel has closed is dead, and its actor must notice."""
    stage = Stage()

    async def wait_for_a_closed_channel(_: Puppet) -> None:
        channel: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.cancel()
        await channel

    await stage.supervisor.start()

    await stage.address.tell(spawning(wait_for_a_closed_channel))

    crashed = await stage.observer.until(Crashed)
    assert isinstance(crashed.error, StrayCancellation)
    await stage.supervisor.drain(FAR)


async def test_the_crash_of_an_isolated_task_is_reported_and_has_no_other_effect() -> None:
    """The crash of one sender never cancels other sends in flight."""
    stage = Stage()
    gate = Gate()

    async def send(puppet: Puppet) -> None:
        await gate(puppet)
        await puppet.ctx.self.tell(say("sent"))

    await stage.supervisor.start()
    await stage.address.tell(spawning(send, isolated=True))
    await gate.reached.wait()

    await stage.address.tell(spawning(crash, isolated=True, name="bad sender"))
    failed = await stage.observer.until(TaskFailed)
    gate.opened.set()
    await stage.supervisor.drain(FAR)

    assert (failed.actor, failed.task) == ("puppet", "bad sender")
    assert stage.journal == ["start", "drain", "sent", "stop"]


async def test_an_isolated_task_outlives_its_actor_and_tells_the_next_instance() -> None:
    """A mail that is being sent cannot be recalled, so the next instance must record its outcome."""
    stage = Stage()
    gate = Gate()

    async def send(puppet: Puppet) -> None:
        await gate(puppet)
        await puppet.ctx.self.tell(say("sent"))

    await stage.supervisor.start()
    await stage.address.tell(spawning(send, isolated=True))
    await gate.reached.wait()

    await stage.address.tell(crash)
    await stage.heard()
    gate.opened.set()
    await stage.supervisor.drain(FAR)

    assert stage.journal == ["start", "stop", "start", "heard", "drain", "sent", "stop"]


async def test_two_tasks_that_crash_in_one_turn_crash_their_actor_once() -> None:
    """The second crash is reported, and does not affect the next instance."""
    stage = Stage()

    async def spawn_two(puppet: Puppet) -> None:
        await spawning(crash, name="one")(puppet)
        await spawning(crash, name="two")(puppet)

    await stage.supervisor.start()

    await stage.address.tell(spawn_two)

    failed = await stage.observer.until(TaskFailed)
    await stage.heard()
    assert failed.task == "two"
    assert len(stage.observer.of(Crashed)) == 1
    await stage.supervisor.drain(FAR)


async def test_an_instance_that_has_ended_can_neither_spawn_nor_set_timers() -> None:
    """Otherwise tasks without an owner are left behind."""
    stage = Stage()
    lives: list[Puppet] = []

    async def note(puppet: Puppet) -> None:
        lives.append(puppet)

    await stage.supervisor.start()
    await stage.address.tell(note)
    await stage.supervisor.drain(FAR)

    lives[0].ctx.after(0.0, say("never"))
    for isolated in (True, False):
        with pytest.raises(Stopped):
            lives[0].ctx.spawn(asyncio.sleep(0), name="orphan", isolated=isolated)
    await turns()
    assert stage.journal == ["start", "drain", "stop"]
