"""A call begins only with a recent reading of the holds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from service.domain.holds import Hold, hold_of
from service.node.sending_holds import MAX_AGE, READ_INTERVAL, SendingHolds
from tests.service.node.steady import Steady

NOW = datetime(2027, 3, 14, 9, tzinfo=UTC)


def a_hold(number: int = 1, occasion: str | None = None, until: datetime | None = None) -> Hold:
    """A hold of everything, or of one occasion."""
    return Hold(UUID(int=number), occasion, "a test", "ops", NOW, until)


def test_the_promised_second_is_longer_than_any_reading_counts() -> None:
    """A hold that one reading just missed is known before that reading is too old."""
    assert READ_INTERVAL < MAX_AGE < 1


def test_nothing_is_allowed_before_the_first_reading() -> None:
    """A node that has just started does not know the holds."""
    assert not SendingHolds(Steady()).allow("birthday")


def test_a_reading_counts_from_when_it_was_asked_for_and_not_for_long() -> None:
    """A hold may have been made while the answer was on its way."""
    steady = Steady()
    holds = SendingHolds(steady)
    asked_at = steady.at
    steady.at += 0.5
    holds.renew([], asked_at)
    assert holds.allow("birthday")

    steady.at = asked_at + MAX_AGE + 0.001
    assert not holds.allow("birthday")


def test_a_hold_of_one_occasion_allows_the_others() -> None:
    """Held messages do not slow down the others."""
    holds = SendingHolds(Steady())
    holds.renew([a_hold(occasion="birthday")], holds.now())

    assert not holds.allow("birthday")
    assert holds.allow("anniversary")


def test_after_a_clock_stood_still_the_next_reading_decides() -> None:
    """A paused machine does not know how long it was paused."""
    holds = SendingHolds(Steady())
    holds.renew([], holds.now())
    holds.expire()
    assert not holds.allow("birthday")

    holds.renew([], holds.now())
    assert holds.allow("birthday")


async def test_those_that_wait_are_woken_by_each_reading() -> None:
    """A message released between two readings leaves with the next reading."""
    holds = SendingHolds(Steady())
    waiting = [asyncio.ensure_future(holds.next_reading(within=60)) for _ in range(3)]
    await asyncio.sleep(0)

    holds.renew([], holds.now())

    await asyncio.wait_for(asyncio.gather(*waiting), 5)


def test_of_several_holds_the_one_that_ends_last_is_named() -> None:
    """An operator has to release that one."""
    soon, late = a_hold(1, until=NOW.replace(hour=10)), a_hold(2, until=NOW.replace(hour=11))
    open_ended, other = a_hold(3), a_hold(4, occasion="anniversary")

    assert hold_of([late, soon], "birthday") == late
    assert hold_of([late, open_ended, soon], "birthday") == open_ended
    assert hold_of([other], "birthday") is None
    assert [one.active(NOW.replace(hour=10)) for one in (soon, late, open_ended)] == [False, True, True]
