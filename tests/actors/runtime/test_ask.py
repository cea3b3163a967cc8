"""`ask` always has a deadline, and fails at once if no answer can come."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from actors.runtime import ActorFailed, Address, MailboxFull, Reply, Restarting, Stopped
from actors.runtime.address import Envelope
from tests.actors.runtime.stage import Do, Gate, Puppet, Stage, answer, crash, hang, say, turns

FAR = 60.0
"""A deadline that a test would notice waiting for."""


def asking_to(do: Do) -> partial[Do]:
    """Make a message that runs this and gives no answer."""
    return partial(lambda work, _: work, do)


async def test_an_ask_returns_the_answer() -> None:
    """This is the normal case."""
    stage = Stage()
    await stage.supervisor.start()

    got = await stage.address.ask(partial(answer, word="yes"), within=FAR)

    assert got == "yes"
    await stage.supervisor.drain(FAR)


async def test_an_ask_without_an_answer_ends_at_its_deadline() -> None:
    """Every awaited call has a deadline."""
    stage = Stage()
    await stage.supervisor.start()

    with pytest.raises(TimeoutError):
        await stage.address.ask(asking_to(say("heard")), within=0.5)

    assert "heard" in stage.journal
    await stage.supervisor.drain(FAR)


async def test_an_ask_waits_for_room_no_longer_than_its_deadline() -> None:
    """The deadline covers the wait for the mailbox too."""
    address: Address[Do] = Address("absent", 1)
    address.offer(crash)

    with pytest.raises(TimeoutError):
        await address.ask(asking_to(crash), within=0.01)

    assert address.depth == 1


async def test_an_ask_whose_message_crashes_the_actor_fails_soon() -> None:
    """A caller, such as an API request, must not wait until its deadline."""
    stage = Stage()
    await stage.supervisor.start()

    with pytest.raises(ActorFailed) as failed:
        await stage.address.ask(asking_to(crash), within=FAR)

    assert isinstance(failed.value.__cause__, ValueError)
    assert await stage.heard() == "heard"
    await stage.supervisor.drain(FAR)


async def test_an_ask_whose_actor_is_cut_off_at_work_fails_soon() -> None:
    """A drain that runs out of time fails the pending asks, too."""
    stage = Stage()
    await stage.supervisor.start()
    asker = asyncio.ensure_future(stage.address.ask(asking_to(hang), within=FAR))
    await turns()

    report = await stage.supervisor.drain(0.0)

    with pytest.raises(ActorFailed):
        await asker
    assert report.abandoned[0].receiving


async def test_an_ask_to_an_actor_that_has_ended_raises_stopped() -> None:
    """No actor is there to answer."""
    stage = Stage()
    await stage.supervisor.start()
    await stage.supervisor.drain(FAR)

    with pytest.raises(Stopped):
        await stage.address.ask(asking_to(crash), within=FAR)


async def test_an_ask_in_the_mailbox_of_an_actor_that_ends_raises_stopped() -> None:
    """The message will never be received."""
    stage = Stage()
    await stage.supervisor.start()
    gate = Gate()
    await stage.address.tell(gate)
    asker = asyncio.ensure_future(stage.address.ask(asking_to(crash), within=FAR))
    await gate.reached.wait()

    await stage.supervisor.drain(0.0)

    with pytest.raises(Stopped):
        await asker


async def test_a_message_whose_asker_has_gone_is_dropped_unread() -> None:
    """Under load, work without a waiting caller is dropped."""
    stage = Stage()
    await stage.supervisor.start()
    gate = Gate()
    await stage.address.tell(gate)
    asker = asyncio.ensure_future(stage.address.ask(partial(answer, word="late"), within=FAR))
    await gate.reached.wait()

    asker.cancel()
    await asyncio.wait([asker])
    gate.opened.set()

    assert await stage.heard() == "heard"
    assert "late" not in stage.journal
    await stage.supervisor.drain(FAR)


async def test_an_answer_to_an_asker_that_has_gone_is_no_failure() -> None:
    """A time-out of the caller is not a bug of the actor."""
    stage = Stage()
    await stage.supervisor.start()
    gate = Gate()

    def slow(reply: Reply[str]) -> Do:
        async def do(puppet: Puppet) -> None:
            await gate(puppet)
            reply.set("late")
            reply.fail(ValueError("later still"))

        return do

    asker = asyncio.ensure_future(stage.address.ask(slow, within=FAR))
    await gate.reached.wait()

    asker.cancel()
    await asyncio.wait([asker])
    gate.opened.set()

    assert await stage.heard() == "heard"
    assert stage.journal.count("start") == 1
    await stage.supervisor.drain(FAR)


async def test_an_asker_gets_the_error_that_the_actor_hands_over() -> None:
    """The actor can refuse without a crash."""
    reply: Reply[str] = Reply()

    reply.fail(KeyError("no such user"))

    with pytest.raises(KeyError):
        await reply
    assert not reply.awaited


async def test_an_asker_cancelled_in_the_turn_of_the_failure_leaves_no_unseen_error() -> None:
    """The caller never reads the failure, and the loop must not report it as never retrieved."""
    address: Address[Reply[str] | None] = Address("absent", 1)
    address.offer(None)
    asker = asyncio.ensure_future(address.ask(lambda reply: reply, within=FAR))
    await turns()
    address.mailbox.take()
    entry = address.mailbox.take()
    assert isinstance(entry, Envelope)

    entry.reply.fail(KeyError("no such user"))
    asker.cancel()
    await asyncio.wait([asker])

    assert asker.cancelled()


async def test_an_asker_is_never_cancelled_by_an_answer() -> None:
    """A `CancelledError` in an answer would look like a cancellation of the caller."""
    reply: Reply[str] = Reply()

    reply.fail(asyncio.CancelledError())

    with pytest.raises(ActorFailed):
        await reply


async def test_an_actor_that_would_wait_for_itself_crashes_instead() -> None:
    """An actor that tells itself a message while its mailbox is full would hang for ever, with all its senders."""
    stage = Stage(capacity=1)
    gate = Gate()

    async def tell_itself(puppet: Puppet) -> None:
        await gate(puppet)
        await puppet.ctx.self.tell(say("to myself"))

    await stage.supervisor.start()
    await stage.address.tell(tell_itself)
    await gate.reached.wait()
    await stage.address.tell(say("from outside"))

    gate.opened.set()

    await stage.observer.until(Restarting)
    assert MailboxFull.__name__ in str(stage.supervisor.view().children[0].last_error)
    assert await stage.heard() == "heard"
    assert "from outside" in stage.journal
    await stage.supervisor.drain(FAR)
