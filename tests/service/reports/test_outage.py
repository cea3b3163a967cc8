"""The cost of an outage for one greeting, and for all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from service.domain.calendar import Rule
from service.reports.eligibility import LeftOut, Prospect
from service.reports.outage import Outage, OutageTotal

NINE = datetime(2027, 3, 14, 9, tzinfo=UTC)


def a_prospect(
    send_at: datetime | None = NINE, status: str | None = "expected", left_out: LeftOut | None = None
) -> Prospect:
    """A greeting at 09:00."""
    return Prospect(UUID(int=1), "birthday", 2027, "UTC", send_at, Rule.EXACT, status, left_out, None)


def outage(hours: float, *, begins: datetime = NINE) -> Outage:
    """An outage that begins then and lasts this many hours, with a late limit of 48 hours."""
    return Outage(begins, begins + timedelta(hours=hours), timedelta(hours=48))


def test_a_greeting_leaves_when_the_outage_is_over() -> None:
    """Its lateness is the rest of the outage at its instant."""
    cost = outage(3, begins=NINE - timedelta(hours=1)).cost(a_prospect())

    assert cost is not None
    assert (cost.expired, cost.leaves_at, cost.late) == (False, NINE + timedelta(hours=2), timedelta(hours=2))


@pytest.mark.parametrize(("hours", "expired"), [(48, False), (48.001, True)])
def test_a_greeting_beyond_the_late_limit_expires(hours: float, expired: bool) -> None:
    """The ticker decides in the same way: up to the limit it is sent."""
    cost = outage(hours).cost(a_prospect())

    assert cost is not None
    assert cost.expired is expired
    assert (cost.leaves_at is None) is expired


@pytest.mark.parametrize("status", ["expected", "scheduled", "queued", "retrying", "sending", "sent"])
def test_what_was_sent_would_have_been_late_too(status: str) -> None:
    """The outage may be in the past or in the future."""
    assert outage(1).cost(a_prospect(status=status)) is not None


@pytest.mark.parametrize(
    "found",
    [
        a_prospect(NINE - timedelta(seconds=1)),
        a_prospect(NINE + timedelta(hours=1)),
        a_prospect(None),
        a_prospect(status="cancelled", left_out=LeftOut.CANCELLED),
        a_prospect(status="expired", left_out=LeftOut.TOO_LATE_TO_SEND),
        a_prospect(status=None, left_out=LeftOut.YEAR_OF_THE_DATE),
        a_prospect(left_out=LeftOut.SUPPRESSED),
    ],
)
def test_an_outage_costs_nothing_where_there_is_no_greeting(found: Prospect) -> None:
    """This holds before it, after it, and for users who are left out anyway."""
    assert outage(1).cost(found) is None


def test_the_total_says_how_many_are_late_and_by_how_much() -> None:
    """Operators read this line."""
    total = OutageTotal()
    for hours in (1, 2, 49):
        total.add(outage(hours).cost(a_prospect()))
    total.add(None)

    assert str(total) == (
        "Had no node run in that time: 2 would have been late, by 2:00:00 at most; 1 would have expired."
    )
