"""The outside model by examples, and a short soak of two nodes against it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from unittest.mock import AsyncMock

import pytest

from actors.commands.sandbox.email_stub import EmailStub, StubOptions
from loadtest.model import soak
from loadtest.model.rules import Model, Person, instant
from loadtest.model.soak import Findings, Soak
from tests.node.conftest import small_world as small_world
from tests.node.conftest import world as world
from tests.node.harness import World

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)

ROUNDS = 8


def person(*, zone: str = "UTC", birthday: date = date(1990, 3, 15)) -> Person:
    return Person("ada@example.com", "Ada L", zone, {"birthday": birthday})


def greeted(model: Model, *, after: timedelta) -> list[int]:
    return [year for _, _, year in sorted(model.advance(NOON + after))]


@pytest.mark.parametrize(
    ("day", "year", "hour", "zone", "expected"),
    [
        (date(1990, 3, 15), 2027, time(9), "Asia/Tokyo", datetime(2027, 3, 15, 0, tzinfo=UTC)),
        (date(1988, 2, 29), 2027, time(9), "UTC", datetime(2027, 2, 28, 9, tzinfo=UTC)),
        (date(1988, 2, 29), 2028, time(9), "UTC", datetime(2028, 2, 29, 9, tzinfo=UTC)),
        (date(1990, 3, 14), 2027, time(2, 30), "America/New_York", datetime(2027, 3, 14, 7, tzinfo=UTC)),
        (date(1990, 11, 7), 2027, time(1, 30), "America/New_York", datetime(2027, 11, 7, 5, 30, tzinfo=UTC)),
    ],
    ids=["zone", "leap day", "leap year", "gap", "overlap"],
)
def test_an_instant_is_the_one_that_the_calendar_promises(
    day: date, year: int, hour: time, zone: str, expected: datetime
) -> None:
    """After a gap its first instant, and of two instants the first."""
    assert instant(day, year, hour, zone) == expected


def test_a_day_is_greeted_once_and_not_in_the_year_of_the_date_itself() -> None:
    """A child born this year is greeted next year."""
    model = Model({"birthday": time(9)})
    model.create(person(), NOON)
    model.create(Person("new@example.com", "New", "UTC", {"birthday": date(2027, 3, 15)}), NOON)

    assert greeted(model, after=timedelta(hours=20)) == []
    assert greeted(model, after=timedelta(hours=22)) == [2027]
    model.set_hour("birthday", time(10), NOON + timedelta(hours=22))
    assert greeted(model, after=timedelta(days=2)) == []


def test_an_edit_that_moves_a_greeting_into_the_past_has_it_sent_at_once() -> None:
    """Unless the user came after the new instant: that is not promised."""
    model = Model({"birthday": time(9)})
    model.create(person(), NOON)
    model.change(person(birthday=date(1990, 3, 14), zone="Pacific/Honolulu"), NOON + timedelta(hours=10))

    assert greeted(model, after=timedelta(hours=10)) == [2027]

    model.create(person(), NOON)
    model.done.clear()
    model.change(person(birthday=date(1990, 3, 14)), NOON + timedelta(hours=10))
    assert greeted(model, after=timedelta(hours=30)) == []


def test_what_is_held_leaves_after_the_release_unless_it_is_too_late() -> None:
    """After 48 hours it expires."""
    model = Model({"birthday": time(9)})
    model.create(person(), NOON)
    model.hold("birthday")
    assert greeted(model, after=timedelta(hours=30)) == []
    model.release("birthday")
    assert greeted(model, after=timedelta(hours=30)) == [2027]

    model.create(Person("bob@example.com", "Bob", "UTC", {"birthday": date(1990, 3, 16)}), NOON)
    model.hold(None)
    model.release(None)
    assert greeted(model, after=timedelta(days=5)) == []


async def test_a_greeting_with_another_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding comes with the history of the user whom it concerns."""
    stub = EmailStub(StubOptions())
    stub.ledger.accept(key="1", email="ada@example.com", message="it's no birthday", at=0)
    found = Soak(["http://127.0.0.1:1"], stub, AsyncMock(), seed=1)
    found._ids["ada@example.com"] = "7"
    calls = AsyncMock(return_value={"items": []})
    monkeypatch.setattr(found, "_call", calls)

    await found._compare("now", {("ada@example.com", "birthday", 2027)})

    assert "another text for ('ada@example.com', 'birthday'): it's no birthday" in found.found.wrong
    assert calls.await_args == (("GET", "/users/7/explanation", None),)


@pytest.mark.parametrize("unknown", [0, 1])
async def test_a_repeated_call_that_no_unknown_outcome_explains_is_named(
    monkeypatch: pytest.MonkeyPatch, unknown: int
) -> None:
    """A service that honours keys would hide that heyday sends what was accepted again."""
    stub = EmailStub(StubOptions())
    for at in (0, 1):
        stub.ledger.accept(key="1", email="ada@example.com", message="Hey, Ada ada it's your birthday", at=at)
    found = Soak(["http://127.0.0.1:1"], stub, AsyncMock(), seed=1)
    found._ids["ada@example.com"] = "7"
    timeline = [{"event": "attempt", "outcome": "unknown"}] * unknown + [{"event": "attempt", "outcome": "accepted"}]
    monkeypatch.setattr(found, "_call", AsyncMock(return_value={"items": [], "timeline": timeline}))

    await found._compare("now", {("ada@example.com", "birthday", 2027)})

    named = "accepted 2 times for 'ada@example.com', after 0 unknown outcomes: 1"
    assert (named in found.found.wrong) is (unknown == 0)
    assert bool(found.found.wrong) is (unknown == 0)


async def _soaked(world: World, model: Model | None = None, *, seed: int) -> Findings:
    await world.begin()
    nodes = [await world.node() for _ in range(2)]
    urls = [f"http://127.0.0.1:{(await node.logged('api_listening'))['port']}" for node in nodes]
    return await Soak(urls, world.stub, world.clock.set, seed=seed, model=model).run(
        until=lambda found: found.rounds == ROUNDS
    )


@pytest.mark.timeout(240)
async def test_two_nodes_greet_whom_the_model_expects(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer: python -m loadtest.model --minutes 60. Calls that are repeated with one key are one greeting."""
    monkeypatch.setattr(soak, "LOST_ANSWERS", 0.4)
    found = await _soaked(world, seed=3)

    assert not found.wrong, "\n".join(found.wrong)
    assert world.stub.ledger.duplicates > 0
    assert found.greetings > 0
    assert found.edits.total() >= 2 * ROUNDS


@pytest.mark.nightly
@pytest.mark.timeout(240)
async def test_a_model_with_another_hour_disagrees(small_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A soak that cannot fail proves nothing."""
    monkeypatch.setattr(soak, "LATE", 3.0)  # it waits in vain
    found = await _soaked(small_world, Model({"birthday": time(21), "anniversary": time(21)}), seed=3)

    assert found.wrong != []
