"""The mailbox: bounded, fair, and losing nothing when its users are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from actors.runtime import Mailbox, Stopped
from actors.runtime.mailbox import NUDGE, Gate
from tests.runtime.stage import turns


def full_mailbox(*entries: int) -> Mailbox[int]:
    """A mailbox that has just room for these."""
    mailbox: Mailbox[int] = Mailbox("box", len(entries))
    for entry in entries:
        assert mailbox.offer(entry)
    return mailbox


def test_a_mailbox_without_room_cannot_be_made() -> None:
    """Every mailbox has a bound, and zero would let nobody through."""
    with pytest.raises(ValueError, match="at least 1"):
        Mailbox("box", 0)


async def test_an_offer_to_a_full_mailbox_is_refused() -> None:
    """The API answers 503 instead of queueing without end."""
    mailbox = full_mailbox(1, 2)

    taken = mailbox.offer(3)

    assert not taken
    assert [mailbox.take(), mailbox.take()] == [1, 2]


async def test_senders_wait_for_room_and_get_in_in_the_order_they_came() -> None:
    """Back-pressure must be fair, or one sender starves."""
    mailbox = full_mailbox(1)
    senders = [asyncio.ensure_future(mailbox.put(entry)) for entry in (2, 3, 4)]
    await turns()

    assert not any(sender.done() for sender in senders)
    assert [mailbox.take() for _ in range(4)] == [1, 2, 3, 4]
    await asyncio.gather(*senders)


async def test_nobody_overtakes_a_sender_that_waits() -> None:
    """Room that was promised to the first in line must not go to whoever happens to run next."""
    mailbox = full_mailbox(1)
    sender = asyncio.ensure_future(mailbox.put(2))
    await turns()

    mailbox.take()

    assert not mailbox.offer(3)
    assert mailbox.take() == 2
    await sender


async def test_a_sender_that_gave_up_waiting_has_sent_nothing() -> None:
    """A time-out of the sender must not deliver later, behind its back."""
    mailbox = full_mailbox(1)
    sender = asyncio.ensure_future(mailbox.put(2))
    await turns()

    sender.cancel()
    await asyncio.wait([sender])

    assert mailbox.take() == 1
    assert len(mailbox) == 0


async def test_entries_go_to_the_receiver_that_has_waited_longest() -> None:
    """The cells of a pool share the work."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    first, second = mailbox.arrival(), mailbox.arrival()

    mailbox.offer(1)
    mailbox.offer(2)

    assert (await first, await second) == (1, 2)


async def test_an_entry_handed_to_a_receiver_that_leaves_goes_to_the_next_one() -> None:
    """A cell halted in the very turn in which it was handed a message must not take it along."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    first, second = mailbox.arrival(), mailbox.arrival()
    mailbox.offer(1)

    mailbox.withdraw(first)

    assert await second == 1


async def test_an_entry_handed_to_the_only_receiver_that_leaves_stays_the_oldest() -> None:
    """The next instance finds it where it was."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    only = mailbox.arrival()
    mailbox.offer(1)
    mailbox.offer(2)

    mailbox.withdraw(only)

    assert [mailbox.take(), mailbox.take()] == [1, 2]


async def test_a_receiver_that_was_nudged_takes_no_entry() -> None:
    """Else a message would go to somebody who no longer waits for it."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    arrival = mailbox.arrival()

    mailbox.nudge(arrival)
    mailbox.offer(1)

    assert await arrival is NUDGE
    assert mailbox.take() == 1


async def test_closing_refuses_strangers_even_those_that_wait_and_still_lets_the_actor_itself_in() -> None:
    """While it drains, an actor still learns what its own tasks have come to."""
    mailbox = full_mailbox(1)
    stranger = asyncio.ensure_future(mailbox.put(2))
    own = asyncio.ensure_future(mailbox.put(3, inside=True))
    await turns()

    mailbox.close()

    with pytest.raises(Stopped):
        await stranger
    with pytest.raises(Stopped):
        await mailbox.put(4)
    assert [mailbox.take(), mailbox.take()] == [1, 3]
    assert not mailbox.offer(5)
    assert mailbox.offer(6, inside=True)
    await own


async def test_sealing_refuses_everybody_and_gives_up_what_was_left() -> None:
    """What nobody will receive is told to the one who reports it."""
    mailbox = full_mailbox(1)
    own = asyncio.ensure_future(mailbox.put(2, inside=True))
    await turns()

    left = mailbox.seal()
    mailbox.close(Gate.INSIDE)

    assert left == [1]
    assert not mailbox.offer(3, inside=True)
    with pytest.raises(Stopped):
        await own
