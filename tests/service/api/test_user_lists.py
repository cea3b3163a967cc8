"""Tests lists of users: filters, search, and synchronisation without missed changes."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from service.adapters.postgres import user_lists
from service.adapters.postgres.connection import Database
from service.domain.users import Profile
from tests.service.api.conftest import Api, a_user
from tests.service.api.test_imports import document, run

USERS = "/api/v1/users"
BEGINNING = "2020-01-01T00:00:00Z"


async def emails(api: Api, query: str) -> list[str]:
    """The addresses of every page."""
    found, cursor = [], ""
    while True:
        status, page = await api.call("GET", f"{USERS}?{query}{cursor}")
        assert status == 200, page
        found += [user["email"] for user in page["items"]]
        if page["nextCursor"] is None:
            return sorted(found)
        cursor = f"&cursor={page['nextCursor']}"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("externalId=HR-1", ["ada@example.com"]),
        ("externalId=hr-1", []),
        ("anniversary=05-01", ["bo@bücher.example"]),
        ("birthday=02-29&timezone=UTC", ["ada@example.com"]),
        ("q=ovelac", ["ada@example.com"]),
        ("q=ADA%20LOVE", ["ada@example.com"]),
        ("q=EXAMPLE", ["ada@example.com", "bo@bücher.example"]),
        ("q=B%C3%9CCHER", ["bo@bücher.example"]),
        ("q=%C3%A9mile", ["bo@bücher.example"]),
        ("q=E%CC%81mile", ["bo@bücher.example"]),
        ("q=%25", []),
        ("q=nobody", []),
    ],
)
async def test_users_are_found(api: Api, query: str, found: list[str]) -> None:
    """By key, by day, and by a part of a name or an address, in any letter case."""
    await api.create(
        email="ada@example.com", lastName="Lovelace", externalId="HR-1", birthdayDate="--02-29", timezone="UTC"
    )
    await api.create(email="bo@bücher.example", firstName="Émile", lastName=None, anniversaryDate="2019-05-01")

    assert await emails(api, query) == found


async def test_a_search_looks_at_a_bounded_number_of_users(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages may be empty. All pages together have every user once."""
    monkeypatch.setattr(user_lists, "MAX_LOOKED", 3)
    rows = [a_user(email=f"u{n}@example.com", lastName="Smith" if n % 5 == 4 else "Jones") for n in range(20)]
    await run(api, document(*rows))

    assert await emails(api, "q=smith") == sorted(f"u{n}@example.com" for n in range(4, 20, 5))
    assert await emails(api, "q=smith&limit=1") == sorted(f"u{n}@example.com" for n in range(4, 20, 5))
    assert len(await emails(api, f"updatedSince={BEGINNING}&limit=2")) == 20


@pytest.mark.parametrize("query", ["", "q=example&", "timezone=UTC&"])
async def test_pages_pass_by_no_user_who_is_committed_late(
    api: Api, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that began before others can commit after them, and after a page with them was read."""
    monkeypatch.setattr(user_lists, "SETTLING_TIMEOUT", 60.0)
    asked, value = asyncio.Event(), api.database.value

    async def noted(*arguments: Any) -> Any:
        try:
            return await value(*arguments)
        finally:
            asked.set()

    monkeypatch.setattr(api.database, "value", noted)
    async with api.database.connection() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(
            """
            insert into users (first_name, last_name, email, email_key, timezone)
            values ('A', 'B', 'late@example.com', 'late@example.com', 'UTC')
            """
        )
        for name in ("first", "second"):
            await api.create(email=f"{name}@example.com", timezone="UTC")

        reading = asyncio.create_task(emails(api, f"{query}limit=1"))
        waiting = asyncio.create_task(asked.wait())
        await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await transaction.commit()
        waiting.cancel()

    assert await reading == ["first@example.com", "late@example.com", "second@example.com"]


async def test_a_transaction_that_does_not_end_holds_up_no_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction may stay open for long. Its users are passed by."""
    monkeypatch.setattr(user_lists, "SETTLING_TIMEOUT", 0.0)
    async with api.database.connection() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("update users set first_name = 'X' where false")
        made = [(await api.create())["email"] for _ in range(3)]

        assert await emails(api, "limit=1") == sorted(made)
        await transaction.rollback()


async def synchronise(api: Api, since: str, cursor: str = "") -> tuple[list[str], list[str], str]:
    """Return the addresses of changed users, the ids of deleted ones, and the next cursor."""
    found: list[str] = []
    deleted: list[str] = []
    while True:
        query = f"updatedSince={since}&limit=2" + (f"&cursor={cursor}" if cursor else "")
        status, page = await api.call("GET", f"{USERS}?{query}")
        assert status == 200, page
        found += [user["email"] for user in page["items"]]
        deleted += [user["id"] for user in page["deleted"]]
        cursor = page["resumeCursor"]
        if page["nextCursor"] is None:
            return found, deleted, cursor


async def test_a_reader_that_synchronises_sees_every_change_once(api: Api) -> None:
    """It gets created, changed and deleted users in the order of their changes, then only new changes."""
    made = [await api.create(email=f"u{n}@example.com") for n in range(5)]
    found, deleted, cursor = await synchronise(api, BEGINNING)
    assert (found, deleted) == ([f"u{n}@example.com" for n in range(5)], [])

    await api.call("PATCH", f"{USERS}/{made[3]['id']}", json={"firstName": "Grace"})
    await api.call("DELETE", f"{USERS}/{made[1]['id']}")
    again, gone, cursor = await synchronise(api, BEGINNING, cursor)
    nothing = await synchronise(api, BEGINNING, cursor)

    assert (again, gone) == (["u3@example.com"], [made[1]["id"]])
    assert nothing == ([], [], cursor)


async def test_a_time_is_exact(api: Api) -> None:
    """Users without a later change are not shown."""
    await api.create(email="a@example.com")
    later = await api.create(email="b@example.com")

    found, _, _ = await synchronise(api, later["updatedAt"])
    by_nanoseconds, _, _ = await synchronise(api, later["updatedAt"].lower().replace("z", "999z"))

    assert found == by_nanoseconds == ["b@example.com"]
    assert (await synchronise(api, "2999-01-01T00:00:00Z"))[0] == []


async def test_a_user_who_is_committed_late_is_not_skipped(api: Api) -> None:
    """A transaction may begin before another and end after it. Its user then has the lower number."""
    insert = (
        "insert into users (first_name, last_name, email, email_key, timezone) "
        "values ('A', 'B', $1::text, $1::text, 'UTC')"
    )
    async with api.database.connection() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(insert, "late@example.com")
        await api.create(email="early@example.com")
        during, _, cursor = await synchronise(api, BEGINNING)
        await transaction.commit()
    after, _, _ = await synchronise(api, BEGINNING, cursor)

    assert during == []
    assert after == ["late@example.com", "early@example.com"]


async def test_a_change_that_is_rolled_back_delays_no_reader(api: Api) -> None:
    """Its number never appears."""
    made = await api.create(email="a@example.com")
    async with api.database.connection() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("update users set first_name = 'X' where id = $1", made["id"])
        held = await synchronise(api, BEGINNING)
        await transaction.rollback()
    found, _, _ = await synchronise(api, BEGINNING, held[2])

    assert [*held[0], *found] == ["a@example.com"]


async def test_no_change_is_missed_while_many_write(api: Api) -> None:
    """Imports, edits and deletions run at once. A reader that follows its cursor has all changes in the end."""
    seen: dict[str, str | None] = {}
    done = asyncio.Event()

    async def write(part: int) -> None:
        rows = [a_user(email=f"{part}-{n}@example.com", externalId=f"{part}-{n}") for n in range(700)]
        results = await run(api, document(*rows))
        for one in results[:40]:
            await api.call("PATCH", f"{USERS}/{one['id']}", json={"lastName": "Changed"})
        for one in results[40:60]:
            await api.call("DELETE", f"{USERS}/{one['id']}")

    async def read() -> None:
        cursor, last = "", False
        while True:
            query = f"updatedSince={BEGINNING}&limit=100" + (f"&cursor={cursor}" if cursor else "")
            _, page = await api.call("GET", f"{USERS}?{query}")
            seen.update({user["id"]: user["lastName"] for user in page["items"]})
            for user in page["deleted"]:
                seen.pop(user["id"], None)
            cursor = page["resumeCursor"]
            if page["nextCursor"] is None:
                if last:
                    return
                last = done.is_set()

    reading = asyncio.ensure_future(read())
    await asyncio.gather(write(1), write(2))
    done.set()
    await reading

    rows = await api.database.fetch("-- all\nselect id, last_name from users where deleted_at is null")
    assert seen == {str(row["id"]): row["last_name"] for row in rows}
    assert len(rows) == 1_360


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("q=a&timezone=UTC", "q"),
        (f"updatedSince={BEGINNING}&q=a", "q"),
        (f"updatedSince={BEGINNING}&email=a", "updatedSince"),
        ("updatedSince=yesterday", "updatedSince"),
        (f"updatedSince={BEGINNING}&cursor=AAAAAAAAAAAAAAQBoi2gHJd6t6s6XUL3fbY-", "cursor"),
        ("cursor=" + "A" * 32, "cursor"),
        ("anniversary=02-30", "anniversary"),
        ("externalId=", "externalId"),
        ("q=", "q"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(api: Api, query: str, field: str) -> None:
    """Otherwise it would get an unrelated answer."""
    status, problem = await api.call("GET", f"{USERS}?{query}")

    assert (status, problem["errors"][0]["field"]) == (422, field)


async def settled(database: Database) -> Any:
    """The number up to which changes are settled."""
    return await database.value("-- settled\nselect settled_user_changes()")


async def test_keys_of_locks_may_overflow(api: Api) -> None:
    """The key of a lock has 31 bits, and the numbers of changes have more."""
    for last in (2**31 - 1, 2**31, 2**40 + 5):
        await api.database.fetch("-- far\nselect setval('user_changes', $1)", last)
        async with api.database.connection() as other:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("update users set first_name = 'X' where false")
            await api.database.fetch("-- next\nselect nextval('user_changes') from generate_series(1, 7)")
            assert await settled(api.database) == last
            await transaction.rollback()
        assert await settled(api.database) == last + 7


def test_a_profile_needs_no_more_than_before() -> None:
    """Callers without key and language still work."""
    assert Profile("Ada", None, "a@example.com", "UTC", {"birthday": date(1990, 5, 1)}).external_id is None
