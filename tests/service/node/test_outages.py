"""An outage is logged once when it begins and once when it ends, for all actors together."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from service.node.outages import Outages
from service.ports import NotAdopted, Unavailable
from tests.service.node.steady import Steady

POSTGRES = Unavailable("postgres", "connection refused")
REDIS = Unavailable("redis", "no answer")
RABBITMQ = Unavailable("rabbitmq", "connection refused")


@pytest.fixture
def outages() -> Outages:
    return Outages()


def test_an_outage_that_many_meet_is_said_once_and_ends_with_the_last(outages: Outages) -> None:
    """If ten actors logged every try, other lines would be hidden."""
    with capture_logs() as lines:
        for who in ("ticker", "planner", "ticker"):
            outages.met(who, POSTGRES)
        outages.passed("ticker")
        assert [outage.system for outage in outages.current()] == ["postgres"]
        outages.passed("planner")

    assert [line["event"] for line in lines] == ["outage_began", "outage_ended"]
    assert lines[0]["reason"] == "connection refused"
    assert outages.current() == []


def test_an_actor_that_meets_another_outage_still_waits_for_the_first(outages: Outages) -> None:
    """The dispatcher could not publish, and now it cannot even read. RabbitMQ is not back because Redis is away."""
    outages.met("dispatcher", RABBITMQ)
    outages.met("dispatcher", REDIS)
    assert [outage.system for outage in outages.current()] == ["rabbitmq", "redis"]

    outages.passed("dispatcher")

    assert outages.current() == []


def test_an_actor_that_comes_further_has_passed_what_it_needs_before(outages: Outages) -> None:
    """An operator must not look for PostgreSQL while Redis is away, nor for a server while a database is refused."""
    seen = []
    for error in (POSTGRES, REDIS, NotAdopted("another database"), NotAdopted("another database")):
        outages.met("membership", error)
        seen.append([outage.system for outage in outages.current()])

    assert seen == [["postgres"], ["redis"], ["cluster"], ["cluster"]]


def test_two_servers_that_are_away_are_two_outages(outages: Outages) -> None:
    """Each is shown, and each ends on its own."""
    outages.met("ticker", POSTGRES)
    outages.met("dispatcher", REDIS)

    outages.passed("ticker")

    assert [outage.system for outage in outages.current()] == ["redis"]


def test_an_actor_that_met_no_outage_ends_none(outages: Outages) -> None:
    """An actor that does not use Redis cannot end its outage."""
    outages.met("ticker", REDIS)

    outages.passed("sampler")

    assert [outage.system for outage in outages.current()] == ["redis"]


def test_an_outage_that_comes_again_is_said_again_with_its_length(outages: Outages) -> None:
    """Two outages of a minute are not one of an hour."""
    with capture_logs() as lines:
        for _ in range(2):
            outages.met("ticker", POSTGRES)
            outages.passed("ticker")

    assert [line["event"] for line in lines] == ["outage_began", "outage_ended"] * 2
    assert [line["log_level"] for line in lines] == ["warning", "info"] * 2
    assert all(line["seconds"] >= 0 for line in lines[1::2])


def test_it_is_known_since_when_a_server_is_away_or_there() -> None:
    """It is known since the start, or since the last outage began or ended."""
    steady = Steady()
    outages = Outages(steady)
    began = steady.at
    steady.passes(60)
    outages.met("sampler", REDIS)
    steady.passes(5)
    away, there = outages.state("redis"), outages.state("postgres")
    outages.passed("sampler")
    steady.passes(7)

    assert away == (True, began + 60)
    assert there == (False, began)
    assert outages.state("redis") == (False, began + 65)
