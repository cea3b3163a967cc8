"""The waits of an actor during an outage."""

from __future__ import annotations

import pytest

from actors.periodic import FIRST_WAIT, LONGEST_WAIT, OutageBackoff


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999])
def test_the_wait_doubles_up_to_the_longest(monkeypatch: pytest.MonkeyPatch, random: float) -> None:
    """A server that is down gets few calls, and its recovery is noticed soon."""
    monkeypatch.setattr("actors.periodic.random.random", lambda: random)
    backoff = OutageBackoff()

    waits = [backoff.failed() for _ in range(6)]

    bounds = [min(LONGEST_WAIT, FIRST_WAIT * 2**n) for n in range(6)]
    assert waits == pytest.approx([bound * (0.5 + random / 2) for bound in bounds])
    assert bounds[-1] == LONGEST_WAIT


def test_a_long_outage_is_waited_out_at_the_same_pace() -> None:
    """The wait stays at its maximum after a day of failures."""
    backoff = OutageBackoff()

    waits = [backoff.failed() for _ in range(50_000)]

    assert all(0 < wait <= LONGEST_WAIT for wait in waits)
    assert min(waits[10:]) >= LONGEST_WAIT / 2


def test_waits_are_not_the_same() -> None:
    """Ten actors in one outage must not call at the same instant."""
    waits = {OutageBackoff().failed() for _ in range(20)}

    assert len(waits) > 10
    assert all(FIRST_WAIT / 2 <= wait <= FIRST_WAIT for wait in waits)


def test_after_it_worked_the_next_outage_begins_from_the_start() -> None:
    """Outages are independent."""
    backoff = OutageBackoff()
    for _ in range(10):
        backoff.failed()

    backoff.passed()

    assert backoff.failed() <= FIRST_WAIT
