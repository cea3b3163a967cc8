"""Users over HTTP: what is created, read, changed and deleted."""

from __future__ import annotations

from tests.api.conftest import Api, a_user


async def test_a_created_user_is_answered_with_its_location_and_version(api: Api) -> None:
    """Clients follow Location and send back the ETag."""
    document = a_user(birthdayDate="1815-12-10", locationCity="London")

    async with api.client.post("/api/v1/users", json=document) as response:
        created = await response.json()

    assert response.status == 201
    assert response.headers["Location"] == f"/api/v1/users/{created['id']}"
    assert response.headers["ETag"] == '"1"'
    assert {name: created[name] for name in document} == document
    assert created["anniversaryDate"] is None


async def test_replacing_and_changing_and_deleting(api: Api) -> None:
    u = await api.create(birthdayDate="1815-12-10", locationCity="London")
    path = f"/api/v1/users/{u['id']}"
    status, p = await api.call("PATCH", path, json={"firstName": "Augusta"})
    assert (status, p["firstName"], p["birthdayDate"]) == (200, "Augusta", "1815-12-10")
    status, p = await api.call("PUT", path, json=a_user())
    assert (status, p["firstName"], p["birthdayDate"], p["locationCity"]) == (200, "Ada", None, None)
    assert (await api.call("DELETE", path)) == (204, None)
    assert (await api.call("GET", path))[0] == 404
    print(await api.call("POST", "/api/v1/users", json=a_user(birthdayDate="2999-01-01")))
    print(await api.call("POST", "/api/v1/users", json=a_user(x=1, email="f@@")))
    print(await api.call("POST", "/api/v1/users", data=b"{"))
    print(await api.call("PUT", "/api/v1/users"))
    print(await api.call("OPTIONS", "/api/v1/users"))
    print(await api.call("GET", "/health/detailed"))
    print((await api.call("POST", "/api/v1/jobs/daily:run")))
