"""A claim for sending cancels messages to suppressed addresses."""

from __future__ import annotations

from uuid import UUID

from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.suppressions import PostgresSuppressions
from service.domain.suppressions import NewSuppression, SuppressionReason, only_to
from service.domain.users import email_key
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store


async def addresses(store: Store, ids: list[UUID], written: list[str]) -> None:
    """Set the addresses of the users of these messages."""
    await store.fetch(
        """
        update users u set email = t.email, email_key = t.key
        from unnest($1::uuid[], $2::text[], $3::text[]) as t (id, email, key)
        join messages m on m.id = t.id where u.id = m.user_id
        """,
        ids,
        written,
        [email_key(one) for one in written],
    )


async def test_what_goes_to_a_suppressed_address_is_cancelled_with_the_reason(store: Store) -> None:
    """Others of the same bundle are sent. Removing the suppression brings nothing back."""
    ids = await store.queued(3)
    await addresses(store, ids, ["Ada@Bücher.example", "bob@example.com", "eve@example.com"])
    suppressions = PostgresSuppressions(store.database)
    given = [
        NewSuppression("ada@xn--bcher-kva.example", SuppressionReason.OPT_OUT, "a form"),
        NewSuppression("BOB@example.com", SuppressionReason.BOUNCE, "provider"),
        NewSuppression("bob@example.com", SuppressionReason.OPT_OUT, "a form"),
    ]
    added = await suppressions.add(given, by=OPERATOR)

    claims = await store.messages.claim_for_sending(ids, incarnation=1, token=1)

    assert [one.email for one in claims] == ["eve@example.com"]
    # Of two reasons the first by name.
    assert claims.left_out == {"opt_out": 1, "bounce": 1}
    rows = await store.fetch("select * from messages where id = any($1::uuid[]) order by status_reason", ids[:2])
    assert {(row["status"], row["attempt"], row["claimed_by"]) for row in rows} == {("cancelled", 0, None)}
    assert [row["status_reason"] for row in rows] == [
        "the address is suppressed: bounce",
        "the address is suppressed: opt_out",
    ]
    for one in added:
        assert await suppressions.remove(one.suppression.id, by=OPERATOR)
    assert await store.messages.claim_for_sending(ids, incarnation=1, token=2) == []


async def test_only_the_addresses_that_are_named_are_written_to(store: Store) -> None:
    """A copy of production in staging greets only its testers."""
    ids = await store.queued(4)
    await addresses(
        store, ids, ["Ada@Example.com", "bob@example.com", "eve@Bücher.example", "eve@sub.xn--bcher-kva.example"]
    )
    messages = PostgresMessages(store.database, only_to=only_to("ada@example.com,@bücher.example"))

    claims = await messages.claim_for_sending(ids, incarnation=1, token=1)

    assert sorted(one.email for one in claims) == ["Ada@Example.com", "eve@Bücher.example"]
    assert claims.left_out == {"only_to": 2}
    reasons = await store.fetch("select distinct status_reason from messages where status = 'cancelled'")
    assert [row["status_reason"] for row in reasons] == ["HEYDAY_ONLY_TO does not name the address"]
