"""A message that one email service may have taken is claimed for that service only."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from service.domain.messages import Answer, EmailServiceName, Outcome, Status
from service.ports import Claimed, Result
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

PRIMARY, FALLBACK = EmailServiceName.PRIMARY, EmailServiceName.FALLBACK

CERTAIN = [
    Answer(Outcome.TRANSIENT_FAILURE, 0.1, error="no connection"),
    Answer(Outcome.TRANSIENT_FAILURE, 0.1, 503, "busy"),
    Answer(Outcome.TRANSIENT_FAILURE, 0.1, 401, "wrong token"),
]
DOUBTFUL = [
    Answer(Outcome.UNKNOWN, 0.1, error="no answer in time"),
    Answer(Outcome.TRANSIENT_FAILURE, 0.1, 500, "error", in_doubt=True),
]


async def claim(store: Store, ids: list[UUID], *, for_fallback: bool, token: int = 1) -> list[Claimed]:
    """Claim due messages, all of them for one service if the caller decides."""
    await store.messages.claim_due(fence=1, incarnation=1, limit=99, late_limit=LATE_LIMIT)
    return await store.messages.claim_for_sending(ids, incarnation=1, token=token, fallback=ids if for_fallback else ())


async def first_attempt(store: Store, answer: Answer | None, *, for_fallback: bool) -> UUID:
    """Make one attempt at a message. None: its node dies."""
    (message,) = await store.queued(1)
    (claimed,) = await claim(store, [message], for_fallback=for_fallback)
    if answer is None:
        await store.messages.release_claims(hold=False)
    else:
        await store.messages.record([Result(claimed.claim, Status.RETRYING, answer, began=0.0)], at=0.1)
    return message


@pytest.mark.parametrize("began_at", EmailServiceName)
@pytest.mark.parametrize("answer", [*DOUBTFUL, None])
async def test_a_doubt_keeps_a_message_at_its_service(
    store: Store, answer: Answer | None, began_at: EmailServiceName
) -> None:
    """Only that service knows its key. A node that died may have got an acceptance."""
    message = await first_attempt(store, answer, for_fallback=began_at is FALLBACK)

    (again,) = await claim(store, [message], for_fallback=began_at is PRIMARY, token=2)

    assert (again.claim.service, again.pinned) == (began_at, True)
    assert await store.database.value("select service from messages") == began_at


@pytest.mark.parametrize("answer", CERTAIN)
async def test_a_message_of_which_nothing_was_taken_goes_to_either_service(store: Store, answer: Answer) -> None:
    """The second service exists for such messages."""
    message = await first_attempt(store, answer, for_fallback=False)

    (again,) = await claim(store, [message], for_fallback=True, token=2)
    await store.messages.record([Result(again.claim, Status.RETRYING, answer, began=0.0)], at=0.1)
    (back,) = await claim(store, [message], for_fallback=False, token=3)

    assert [(one.claim.service, one.pinned) for one in (again, back)] == [(FALLBACK, False), (PRIMARY, False)]


async def test_a_redriven_message_stays_where_its_outcome_is_unknown(store: Store) -> None:
    """An operator may send it again. Under the same key that is no second greeting."""
    message = await first_attempt(store, DOUBTFUL[0], for_fallback=True)
    (again,) = await claim(store, [message], for_fallback=False, token=2)
    await store.messages.record([Result(again.claim, Status.UNKNOWN, DOUBTFUL[0], began=0.0)], at=0.1)

    await store.messages.redrive([message], by=OPERATOR)
    (redriven,) = await claim(store, [message], for_fallback=False, token=3)

    assert (redriven.claim.service, redriven.pinned) == (FALLBACK, True)


async def test_a_claim_that_is_repeated_is_still_for_its_service(store: Store) -> None:
    """The answer to the first claim was lost, and the circuit has changed since."""
    (message,) = await store.queued(1)
    await claim(store, [message], for_fallback=False, token=7)

    (again,) = await store.messages.claim_for_sending([message], incarnation=1, token=7, fallback=[message])

    assert again.claim.service is PRIMARY


@pytest.mark.parametrize(("service", "status"), [(PRIMARY, "retrying"), (FALLBACK, "unknown")])
async def test_a_lost_claim_follows_the_policy_of_its_service(
    store: Store, service: EmailServiceName, status: str
) -> None:
    """One of the two may be a mail server, which has no keys."""
    (message,) = await store.queued(1)
    await claim(store, [message], for_fallback=service is FALLBACK)

    await store.messages.release_claims(hold=False, hold_fallback=True)

    assert await store.database.value("select status from messages") == status


async def test_a_released_claim_names_the_service_that_had_taken_the_message(store: Store) -> None:
    """Its acceptance is counted for that service."""
    (message,) = await store.queued(1)
    (claimed,) = await claim(store, [message], for_fallback=False)
    await store.fetch(
        "insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, service)"
        " values ($1, $2, 1, 'accepted', 1, business_now(), 0.1, 'fallback')",
        message,
        claimed.claim.local_year,
    )

    (freed,) = await store.messages.release_claims(hold=False)

    assert (freed.status, freed.service) == (Status.SENT, FALLBACK)


async def test_a_message_that_is_put_off_is_due_later_and_spends_nothing(store: Store) -> None:
    """Without an attempt and a delay it would be due as before."""
    (message,) = await store.queued(1)
    (claimed,) = await claim(store, [message], for_fallback=False)
    put_off = Result(claimed.claim, Status.RETRYING, None, 0.0, timedelta(seconds=15))

    await store.messages.record([put_off], at=0.1)

    row = await store.database.row("select attempt, due_at - business_now() as wait from messages")
    assert row is not None
    assert row["attempt"] == 0
    assert timedelta(seconds=10) < row["wait"] <= timedelta(seconds=15)


async def test_a_sent_message_names_the_service_that_took_it(store: Store) -> None:
    """The answer of the fallback comes late, after its message was taken for lost."""
    (message,) = await store.queued(1)
    (claimed,) = await claim(store, [message], for_fallback=True)
    await store.messages.release_claims([(message, 1)], hold=False)
    accepted = Answer(Outcome.ACCEPTED, 0.1, 200)

    await store.messages.record([Result(claimed.claim, Status.SENT, accepted, 0.0)], at=0.1)

    row = await store.database.row("select status, service from messages")
    assert row is not None
    assert (row["status"], row["service"]) == ("sent", "fallback")
    services = await store.fetch("select distinct service from attempts")
    assert [one["service"] for one in services] == ["fallback"]
