"""The mailbox is bounded and fair, and loses nothing when its users are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from actors.runtime import Mailbox, Stopped
from actors.runtime.mailbox import WOKEN, Gate
from tests.actors.runtime.stage import turns


def full_mailbox(*entries: int) -> Mailbox[int]:
    """Return a mailbox that is full with these entries."""
    mailbox: Mailbox[int] = Mailbox("box", len(entries))
    for entry in entries:
        assert mailbox.offer(entry)
    return mailbox


def test_a_mailbox_without_room_cannot_be_made() -> None:
    """Every mailbox has a bound, and zero would let no message through."""
    with pytest.raises(ValueError, match="at least 1"):
        Mailbox("box", 0)


async def test_an_offer_to_a_full_mailbox_is_refused() -> None:
    """The API answers 503 instead of queueing without end."""
    mailbox = full_mailbox(1, 2)

    taken = mailbox.offer(3)

    assert not taken
    assert [mailbox.take(), mailbox.take()] == [1, 2]


async def test_senders_wait_for_room_and_get_in_in_the_order_they_came() -> None:
    """Without this order one sender could starve."""
    mailbox = full_mailbox(1)
    senders = [asyncio.ensure_future(mailbox.put(entry)) for entry in (2, 3, 4)]
    await turns()

    assert not any(sender.done() for sender in senders)
    assert [mailbox.take() for _ in range(4)] == [1, 2, 3, 4]
    await asyncio.gather(*senders)


async def test_no_sender_overtakes_one_that_waits() -> None:
    """The first in line gets the room, not the sender that happens to run next."""
    mailbox = full_mailbox(1)
    sender = asyncio.ensure_future(mailbox.put(2))
    await turns()

    mailbox.take()

    assert not mailbox.offer(3)
    assert mailbox.take() == 2
    await sender


async def test_a_sender_that_gave_up_waiting_has_sent_nothing() -> None:
    """A message must not arrive after its sender timed out."""
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
    """A cell that is halted in the same turn must not lose the message."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    first, second = mailbox.arrival(), mailbox.arrival()
    mailbox.offer(1)

    mailbox.withdraw(first)

    assert await second == 1


async def test_an_entry_handed_to_the_only_receiver_that_leaves_stays_the_oldest() -> None:
    """The next instance receives it first."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    only = mailbox.arrival()
    mailbox.offer(1)
    mailbox.offer(2)

    mailbox.withdraw(only)

    assert [mailbox.take(), mailbox.take()] == [1, 2]


async def test_a_receiver_that_was_nudged_takes_no_entry() -> None:
    """Otherwise a message would go to a receiver that no longer waits."""
    mailbox: Mailbox[int] = Mailbox("box", 5)
    arrival = mailbox.arrival()

    mailbox.wake(arrival)
    mailbox.offer(1)

    assert await arrival is WOKEN
    assert mailbox.take() == 1


async def test_closing_refuses_strangers_and_still_lets_the_actor_itself_in() -> None:
    """A draining actor still receives the results of its own tasks."""
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


async def test_sealing_refuses_every_sender_and_returns_what_was_left() -> None:
    """Messages that are never received are reported."""
    mailbox = full_mailbox(1)
    own = asyncio.ensure_future(mailbox.put(2, inside=True))
    await turns()

    left = mailbox.seal()
    mailbox.close(Gate.INSIDE)

    assert left == [1]
    assert not mailbox.offer(3, inside=True)
    with pytest.raises(Stopped):
        await own
