"""A client that openapi-python-client makes of the document does a client's whole work: the document is enough."""

from __future__ import annotations

import asyncio
import datetime
import importlib
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import orjson
import pytest

from tests.api.conftest import Api, a_user

CONFIG = Path(__file__).with_name("openapi_client.yaml")


class Generated(Protocol):
    """The package, whose modules are found by their names."""

    def __call__(self, name: str) -> Any:
        """A module of it, such as `api.users.create_user`."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client is made, once: it takes seconds."""
    return tmp_path_factory.mktemp("generated")


@pytest.fixture
async def generated(api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generated:
    """The client, made of the served document; a warning of its maker fails the test."""
    document, package = folder / "openapi.json", folder / "heyday_client"
    if not package.exists():
        async with api.client.get("/openapi.json") as response:
            document.write_bytes(await response.read())
        made = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--path", str(document)),
            *("--output-path", str(package), "--meta", "none", "--config", str(CONFIG), "--fail-on-warning"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await made.communicate())[0].decode()
        assert made.returncode == 0, said
    monkeypatch.syspath_prepend(folder)

    def module(name: str) -> ModuleType:
        return importlib.import_module(f"{package.name}.{name}")

    return module


async def test_a_generated_client_does_the_round_trip_of_a_user(api: Api, generated: Generated) -> None:
    """Create, read, change, replace, delete, and three refusals, all of it in types: names, dates, ids, problems."""
    models, users = generated("models"), "api.users."
    ada = models.UserInput.from_dict(a_user(birthdayDate="1815-12-10"))
    async with generated("client").AuthenticatedClient(base_url=api.url, token="none") as client:

        async def call(name: str, *args: object, **options: object) -> Any:
            return await generated(users + name).asyncio_detailed(*args, client=client, **options)

        created = await call("create_user", body=ada)
        user = created.parsed
        tag = created.headers["ETag"]
        taken = await call("create_user", body=ada)
        change = models.UserChange(first_name="Augusta", birthday_date=None)
        changed = await call("change_user", user.id, body=change, if_match=tag)
        stale = await call("change_user", user.id, body=change, if_match=tag)
        read = await call("read_user", user.id)
        replaced = await call("replace_user", user.id, body=ada)
        refused = await call("replace_user", user.id, body=models.UserInput("A", "B", "no address", "UTC"))
        deleted = await call("delete_user", user.id)
        gone = await call("read_user", user.id)

    assert (created.status_code, user.birthday_date) == (201, datetime.date(1815, 12, 10))
    assert isinstance(user.created_at, datetime.datetime)
    assert (changed.parsed.first_name, changed.parsed.birthday_date) == ("Augusta", None)
    assert read.parsed == changed.parsed
    assert replaced.parsed.first_name == "Ada"
    assert deleted.status_code == 204
    problems = [taken.parsed, stale.parsed, refused.parsed, gone.parsed]
    assert all(isinstance(problem, models.Problem) for problem in problems)
    assert [problem.status for problem in problems] == [409, 412, 422, 404]
    assert [error.field for error in refused.parsed.errors] == ["email"]


async def test_a_generated_client_pages_through_an_import(api: Api, generated: Generated) -> None:
    """Bytes go in, and pages of users come out, each once."""
    rows = b"".join(orjson.dumps(a_user(timezone="Asia/Tokyo")) + b"\n" for _ in range(7))
    body = generated("types").File(payload=io.BytesIO(rows))
    import_users = generated("api.users.import_users").sync_detailed
    list_users = generated("api.users.list_users").sync

    def work() -> tuple[Any, list[list[str]]]:
        pages: list[list[str]] = []
        cursor: dict[str, str | None] = {}
        with generated("client").AuthenticatedClient(base_url=api.url, token="none") as client:
            imported = import_users(client=client, body=body)
            while cursor != {"cursor": None}:
                page = list_users(client=client, limit=3, timezone="Asia/Tokyo", **cursor)
                pages.append([str(user.id) for user in page.items])
                cursor = {"cursor": page.next_cursor}
        return imported, pages

    # A stream of bytes is for clients that block, and the API is served by this thread.
    imported, pages = await asyncio.to_thread(work)

    results = [orjson.loads(line) for line in imported.content.splitlines()]
    assert [result["status"] for result in results] == [201] * 7
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {user_id for page in pages for user_id in page} == {result["id"] for result in results}


async def test_a_generated_client_reads_messages_and_redrives_them(api: Api, generated: Generated) -> None:
    """The states of a message are an enumeration, and a filter is an object."""
    models = generated("models")
    async with generated("client").AuthenticatedClient(base_url=api.url, token="none") as client:
        page = await generated("api.messages.list_messages").asyncio(
            client=client, status=models.MessageStatus.FAILED, occasion=models.Occasion.BIRTHDAY
        )
        redriven = await generated("api.messages.redrive_messages").asyncio(
            client=client, body=models.Redrive(status=models.RedriveStatus.FAILED, dry_run=True)
        )
        live = await generated("api.health.liveness").asyncio(client=client)

    assert (page.items, page.next_cursor) == ([], None)
    assert (redriven.dry_run, redriven.matched) == (True, 0)
    assert live.status == "ok"
