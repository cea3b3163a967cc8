"""Idempotency-Key: a repeated request is done once, also when a node dies or an answer is lost."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import orjson
import pytest

from service.api.routes import imports
from service.domain.messages import Answer
from service.domain.users import Profile
from service.ports import (
    CreatedUser,
    Greeting,
    Idempotency,
    IdempotencyKey,
    KeptResponse,
    ReservationLost,
    Unavailable,
    Users,
)
from tests.service.api.conftest import Api, Post, Serve, a_user

USERS = "/api/v1/users"
ADA = Profile("Ada", "L", "ada@example.com", "UTC", {})


async def assert_answered_again(
    api: Api, first: tuple[int, Any], document: dict[str, Any], headers: dict[str, str]
) -> None:
    """Repeat the creation, and check that it gets the first answer again."""
    async with api.client.post(USERS, json=document, headers=headers) as response:
        again = response.status, await response.json()

    assert first[0] == 201
    assert again == first
    assert response.headers["Idempotency-Replayed"] == "true"
    assert response.headers["Location"] == f"{USERS}/{first[1]['id']}"
    assert response.headers["ETag"] == '"1"'


async def test_a_request_sent_again_under_its_key_is_answered_as_before(api: Api) -> None:
    """A client without an answer can repeat the request."""
    document, headers = a_user(), {"Idempotency-Key": "one"}

    first = await api.call("POST", USERS, json=document, headers=headers)

    await assert_answered_again(api, first, document, headers)


async def test_another_request_under_a_used_key_is_refused(api: Api) -> None:
    """The stored response has another user and would hide the client's mistake."""
    await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": "k"})

    status, problem = await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": "k"})

    assert (status, problem["type"]) == (422, "/problems/idempotency-key-reused")


@pytest.mark.usefixtures("patient")
async def test_a_hundred_requests_under_one_key_make_one_user(api: Api) -> None:
    """The others get the same answer, or learn that the first is under way."""
    document = a_user()

    answers = await asyncio.gather(
        *(api.call("POST", USERS, json=document, headers={"Idempotency-Key": "same"}) for _ in range(100))
    )

    assert {status for status, _ in answers} <= {201, 409}
    assert {problem["type"] for status, problem in answers if status == 409} <= {"/problems/request-in-progress"}
    assert len({user["id"] for status, user in answers if status == 201}) == 1
    assert len((await api.call("GET", f"{USERS}?limit=500"))[1]["items"]) == 1


async def test_a_refusal_is_kept_and_an_outage_is_not(serve: Serve) -> None:
    """A wrong request stays wrong. A server that was down may be back."""
    api = await serve()
    users = api.dependencies.ports.users
    away = True

    class Flaky:
        async def create(self, *args: Any, **options: Any) -> Any:
            if away:
                raise Unavailable("postgres", "away")
            return await users.create(*args, **options)

    flaky = await serve(users=Flaky())
    document = a_user()
    headers = {"Idempotency-Key": "k"}

    outage, _ = await flaky.call("POST", USERS, json=document, headers=headers)
    away = False
    done, _ = await flaky.call("POST", USERS, json=document, headers=headers)
    refused = [(await api.call("POST", USERS, json={}, headers={"Idempotency-Key": "r"}))[0] for _ in range(2)]

    assert (outage, done, refused) == (503, 201, [422, 422])


@pytest.mark.parametrize("key", ["", " ", "a" * 256, "ключ", "a b"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    """If it were ignored, the client would believe that it can repeat the request."""
    status, problem = await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": key})

    assert (status, problem["errors"][0]["field"]) == (400, "Idempotency-Key")


async def test_a_key_whose_node_died_before_its_work_can_be_taken_over(api: Api) -> None:
    """The same request can take it over after a minute."""
    headers, document = {"Idempotency-Key": "dead"}, a_user()
    await api.call("POST", USERS, json=document, headers=headers)
    await api.database.fetch("-- die\ndelete from users")
    await api.database.fetch(
        "-- forget\nupdate idempotency_keys set status = null, headers = null, body = null, created = null"
    )

    at_once, _ = await api.call("POST", USERS, json=document, headers=headers)
    await api.database.fetch("-- wait\nupdate idempotency_keys set started_at = started_at - interval '2 minutes'")
    later, _ = await api.call("POST", USERS, json=document, headers=headers)

    assert (at_once, later) == (409, 201)


class CrashAfterTheWork:
    """A node that dies after the commit: it neither stores a response nor releases the key."""

    def __init__(self, idempotency: Idempotency) -> None:
        self.reserve = idempotency.reserve

    async def keep(self, _keep: object) -> None:
        raise ConnectionAbortedError

    async def release(self, _reserved: object) -> None:
        raise ConnectionAbortedError


async def test_a_crash_between_a_creation_and_its_response_repeats_the_response(serve: Serve) -> None:
    """The answer was "409 email taken" for 24 hours."""
    api = await serve()
    dying = await serve(idempotency=CrashAfterTheWork(api.dependencies.ports.idempotency))
    document, headers = a_user(birthdayDate="1990-03-10"), {"Idempotency-Key": "one"}

    first = await dying.call("POST", USERS, json=document, headers=headers)

    await assert_answered_again(api, first, document, headers)


class LostCommit:
    """Users whose next statement is committed, but its answer is lost."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self.new_ids = users.new_ids
        self.lose = True

    async def create(self, *args: Any, **options: Any) -> Any:
        return self._or_lose(await self._users.create(*args, **options))

    async def create_many(self, *args: Any, **options: Any) -> Any:
        return self._or_lose(await self._users.create_many(*args, **options))

    def _or_lose(self, found: Any) -> Any:
        if self.lose:
            self.lose = False
            raise Unavailable("postgres", "connection lost")
        return found


async def test_a_creation_whose_commit_was_not_answered_is_not_a_conflict_with_itself(serve: Serve) -> None:
    """The client gets 503 and repeats the request."""
    api = await serve()
    losing = await serve(users=LostCommit(api.dependencies.ports.users))
    document, headers = a_user(), {"Idempotency-Key": "one"}

    lost = await losing.call("POST", USERS, json=document, headers=headers)
    again = await losing.call("POST", USERS, json=document, headers=headers)

    assert (lost[0], again[0]) == (503, 201)
    assert (await api.call("GET", f"{USERS}/{again[1]['id']}"))[1] == again[1]


async def test_an_import_whose_commit_was_not_answered_does_not_refuse_its_own_rows(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stored row was answered with 409, and the client never learned the ids."""
    monkeypatch.setattr(imports, "RETRY_INTERVAL", 0.0)
    api = await serve()
    there = await api.create()
    losing = await serve(users=LostCommit(api.dependencies.ports.users))
    body = b"".join(orjson.dumps(user) + b"\n" for user in (a_user(), {**a_user(), "email": there["email"]}, a_user()))

    async with losing.client.post(
        f"{USERS}:import", data=body, headers={"Content-Type": "application/x-ndjson"}
    ) as response:
        results = [orjson.loads(line) async for line in response.content]

    assert [result["status"] for result in results] == [201, 409, 201]
    assert (await api.call("GET", f"{USERS}/{results[2]['id']}"))[0] == 200


async def test_a_creation_under_a_key_is_one_commit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, user and response are written by one statement. It was three: reserve, create, keep."""
    written: list[str] = []
    fetch = api.database.fetch

    async def noted(query: str, *arguments: Any) -> Any:
        written.append(query.partition("\n")[0])
        return await fetch(query, *arguments)

    await api.call("GET", USERS)  # the rules are read, and known for a second
    monkeypatch.setattr(api.database, "fetch", noted)
    made = [await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": key}) for key in ("a", "b")]

    assert [status for status, _ in made] == [201, 201]
    assert [query for query in written if "create_users" in query] == ["-- create_users_under_keys"] * 2
    assert {query for query in written if "reserve" in query or "keep" in query} == set()


async def test_a_key_that_is_in_use_creates_nothing(api: Api) -> None:
    """Another request has reserved it, such as one of a node of the version before, and does the work."""
    ports = api.dependencies.ports
    await ports.idempotency.reserve(b"key", b"request")

    with pytest.raises(ReservationLost):
        await ports.users.create(ADA, [], key=IdempotencyKey(b"key", b"request"))

    assert (await api.call("GET", USERS))[1]["items"] == []


@pytest.mark.parametrize("wait", ["2 minutes", "25 hours"])
async def test_an_old_reservation_is_taken_over_by_the_creation(api: Api, wait: str) -> None:
    """The node that reserved it died. After a day the key may name another request."""
    ports = api.dependencies.ports
    request = b"request" if wait == "2 minutes" else b"another request"
    await ports.idempotency.reserve(b"key", b"request")
    await api.database.fetch(f"-- wait\nupdate idempotency_keys set started_at = started_at - interval '{wait}'")

    user = await ports.users.create(ADA, [], key=IdempotencyKey(b"key", request))

    found = await ports.idempotency.reserve(b"key", request)
    assert isinstance(found, KeptResponse)
    assert found.created == CreatedUser(user.id, user.version, user.created_at, user.updated_at)
    assert await ports.users.get(user.id) == user


async def test_a_taken_address_among_creations_under_keys_is_refused_alone(api: Api) -> None:
    """They share a statement, which must not keep a wrong response for any of them."""
    there = await api.create()
    documents = [{**a_user(), "email": there["email"]} if number == 5 else a_user() for number in range(12)]

    async def create(number: int) -> tuple[int, Any]:
        return await api.call("POST", USERS, json=documents[number], headers={"Idempotency-Key": f"key-{number}"})

    first = await asyncio.gather(*map(create, range(12)))
    again = await asyncio.gather(*map(create, range(12)))

    assert [status for status, _ in first] == [409 if number == 5 else 201 for number in range(12)]
    assert [{**body, "requestId": None} for _, body in again] == [{**body, "requestId": None} for _, body in first]


async def test_a_wrong_request_under_the_key_of_a_creation_is_another_request(api: Api) -> None:
    """It is refused for the key, and not for its fields: the client has mixed up two requests."""
    headers = {"Idempotency-Key": "one"}
    await api.call("POST", USERS, json=a_user(), headers=headers)

    status, problem = await api.call("POST", USERS, json={}, headers=headers)

    assert (status, problem["type"]) == (422, "/problems/idempotency-key-reused")


async def test_an_erased_user_is_not_shown_by_a_replay(api: Api) -> None:
    """The response is stored in the transaction of the creation, before any erasure, and contains no name."""
    document, headers = a_user(firstName="Zuleika"), {"Idempotency-Key": "one"}
    _, user = await api.call("POST", USERS, json=document, headers=headers)

    kept = await api.database.fetch("-- kept\nselect idempotency_keys::text as row from idempotency_keys")
    erased, _ = await api.call("DELETE", f"{USERS}/{user['id']}?erase=true")
    left = await api.database.fetch("-- left\nselect from idempotency_keys")

    assert erased == 204
    assert len(kept) == 1
    assert "Zuleika" not in kept[0]["row"]
    assert left == []


async def test_every_response_that_shows_a_user_is_erased_with_them(api: Api) -> None:
    """Responses of other users stay."""
    shown = []
    for number, name in enumerate(("Zuleika", "Quentin")):
        user = await api.create(firstName=name, email=f"{name}@example.com")
        shown.append(user)
        for path, body in (
            ("suppressions", {"email": f"{name.upper()}@EXAMPLE.com", "reason": "opt_out"}),
            ("occasions/birthday:render", {"userId": user["id"]}),
        ):
            headers = {"Idempotency-Key": f"{path} {number}".replace(" ", "-")}
            status, _ = await api.call("POST", f"/api/v1/{path}", json=body, headers=headers)
            assert status in (200, 201)

    assert (await api.call("DELETE", f"{USERS}/{shown[0]['id']}?erase=true"))[0] == 204

    left = await api.database.fetch("-- left\nselect convert_from(body, 'UTF8') as body from idempotency_keys")
    assert len(left) == 2
    assert all("quentin" in row["body"].lower() for row in left)


async def test_a_response_about_a_user_who_is_erased_meanwhile_is_not_kept(serve: Serve) -> None:
    """A test send takes as long as the email service does. Its response has the name of the user."""
    api = await serve()
    user = await api.create(firstName="Zuleika")

    class SlowPost(Post):
        async def send(self, greeting: Greeting, **options: Any) -> Answer:
            assert (await api.call("DELETE", f"{USERS}/{user['id']}?erase=true"))[0] == 204
            return await super().send(greeting, **options)

    other = await serve(email=SlowPost())
    await other.read_clock()
    wanted, headers = {"to": "me@example.com", "userId": user["id"]}, {"Idempotency-Key": "one"}

    status, answer = await other.call("POST", "/api/v1/occasions/birthday:testSend", json=wanted, headers=headers)
    again, _ = await other.call("POST", "/api/v1/occasions/birthday:testSend", json=wanted, headers=headers)

    assert (status, "Zuleika" in answer["text"], again) == (200, True, 422)
    (left,) = await api.database.fetch("-- left\nselect coalesce(convert_from(body, 'UTF8'), '') from idempotency_keys")
    assert "Zuleika" not in left[0]


async def test_a_crash_between_a_redrive_and_its_response_repeats_the_response(serve: Serve) -> None:
    """The repeated request would be refused, because the message is already scheduled."""
    api = await serve()
    dying = await serve(idempotency=CrashAfterTheWork(api.dependencies.ports.idempotency))
    message = await _failed_message(api)
    path, headers = f"/api/v1/messages/{message}:redrive", {"Idempotency-Key": "one"}

    first = await dying.call("POST", path, headers=headers)
    again = await api.call("POST", path, headers=headers)

    assert first == again == (202, {"id": message, "status": "scheduled"})


async def _failed_message(api: Api) -> str:
    user = await api.create(birthdayDate="1990-03-10")
    rows = await api.database.fetch(
        """-- fail
        insert into messages
            (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, status, ended_at, attempt)
        select $1, 'birthday', extract(year from now()), 'UTC', now(), now(), 'test', 'failed', now(), 1
        returning id
        """,
        UUID(user["id"]),
    )
    return str(rows[0]["id"])
