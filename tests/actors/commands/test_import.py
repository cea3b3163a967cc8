"""Tests `heyday import`: files as HR systems write them, against a running API."""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from actors.cli import main
from actors.commands.errors import CommandFailed, WrongUsage
from actors.commands.imports import countries, sending
from actors.commands.imports.command import run
from actors.commands.imports.conversion import Conversion, DateFormat
from actors.commands.imports.countries import NoZone, zone_of_country
from actors.commands.imports.options import add_arguments
from actors.commands.imports.source import open_source
from actors.commands.progress import ProgressBar
from service.api_keys import parse_api_keys
from service.settings import BadConfiguration
from tests.service.api.conftest import Api, Serve, api, serve  # noqa: F401 - fixtures

NOW = datetime(2026, 11, 29, tzinfo=UTC)

HR = "Personalnummer;Vorname;Nachname;E-Mail;Land;Geburtstag;Abteilung\n"

MAPPED = [
    "--map", "Personalnummer=externalId", "--map", "Vorname=firstName", "--map", "Nachname=lastName",
    "--map", "E-Mail=email", "--map", "Geburtstag=birthdayDate", "--date-format", "DD.MM.YYYY", "--zone-from", "Land",
    "--on-conflict", "update",
]  # fmt: skip


async def imported(url: str, file: Path, *words: str, **environment: str) -> int:
    """Run the command in a thread: it has an event loop of its own."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(file), "--url", url, *words])
    return await asyncio.to_thread(run, args, environment)


def hr_rows(count: int) -> str:
    """An export of an HR system, with one broken row in a hundred."""
    return HR + "".join(
        f"{n};Jörg;;joerg{n}@example.com;{'DE' if n % 100 else 'Atlantis'};29.02.1988;IT\n" for n in range(count)
    )


async def test_an_export_of_hr_twice(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """The second run changes nothing. Each broken row is reported with its line and reason, and stops no other row."""
    file, refused = tmp_path / "people.csv", tmp_path / "refused.csv"
    file.write_text(hr_rows(1_000), encoding="utf-8-sig")

    first = await imported(api.url, file, *MAPPED, "--json", "--refused", str(refused))
    second = await imported(api.url, file, *MAPPED, "--json", "--refused", str(refused))

    said = capsys.readouterr()
    assert (first, second) == (1, 1)
    assert [json.loads(line) for line in said.out.splitlines() if line.startswith("{")] == [
        {"created": 990, "updated": 0, "unchanged": 0, "refused": 10},
        {"created": 0, "updated": 0, "unchanged": 990, "refused": 10},
    ]
    assert "Abteilung" in said.err
    with refused.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    assert [row["line"] for row in rows] == [str(n + 2) for n in range(0, 1_000, 100)]
    assert rows[0]["reason"] == "timezone: expected a country of ISO 3166, such as DE or Germany, not 'Atlantis'"
    assert rows[0]["E-Mail"] == "joerg0@example.com"
    _, page = await api.call("GET", "/api/v1/users?externalId=1")
    (user,) = page["items"]
    assert (user["timezone"], user["birthdayDate"], user["lastName"]) == ("Europe/Berlin", "1988-02-29", None)


async def test_a_control_character_of_a_file_does_nothing_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file may come from another company."""
    lines, table = tmp_path / "people.ndjson", tmp_path / "people.csv"
    lines.write_text('{"firstName": "Ada", "email": "a@example.com", "timezone": "UTC", "\\u001b[2J": 1}\n')
    table.write_text("firstName,email,timezone,\x1b[2J\nAda,a@example.com,UTC,\n")

    for file in (lines, table):
        await imported("http://127.0.0.1:1", file, "--dry-run")

    err = capsys.readouterr().err
    assert err.count("\\x1b[2J") == 2
    assert "\x1b" not in err


async def test_json_lines_are_sent_as_they_are(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """A row that the API refuses is reported with its line in the file."""
    good = {"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC", "birthdayDate": "--02-29"}
    file = tmp_path / "people.ndjson"
    bad = {**good, "email": "b@example.com", "timezone": "utc+2"}
    file.write_text("\n".join([json.dumps(good), "", "{broken", json.dumps(bad)]))

    code = await imported(api.url, file)

    said = capsys.readouterr()
    assert code == 1
    assert "1 created, 0 updated, 0 unchanged, 2 refused\n" in said.out
    assert "line 3: expected JSON" in said.err
    assert "line 4: timezone: Expected the name of an IANA time zone. Did you mean Etc/GMT-2?" in said.err


@pytest.mark.parametrize("text", ["[\n{}\n]\n", '\n\ufeff[{"a": 1}, {"a": 2}]'])
async def test_a_json_array_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    """Its last row alone could be a line of NDJSON."""
    file = tmp_path / "people.json"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(CommandFailed, match="the file is a JSON array: expected NDJSON"):
        await imported("http://127.0.0.1:1", file)


async def test_many_requests_make_one_import(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A file may be larger than one request."""
    monkeypatch.setattr(sending, "ROWS_PER_REQUEST", 7)
    file = tmp_path / "people.csv"
    users = "".join(f"Ada,ada{n}@example.com,UTC\n" for n in range(50))
    file.write_text(f"first_name,email,Timezone\n{users}")

    assert await imported(api.url, file) == 0
    assert await api.database.value("-- count\nselect count(*) from users") == 50


async def test_a_dry_run_sends_nothing(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """It finds the errors that need no comparison with other users."""
    file = tmp_path / "people.csv"
    file.write_text("firstName,email,timezone\nAda,ada@example.com,UTC\nAda,no address,UTC\n,c@example.com,UTC\n")

    code = await imported("http://127.0.0.1:1", file, "--dry-run", "--json")

    assert (code, json.loads(capsys.readouterr().out)) == (1, {"valid": 1, "refused": 2, "notChecked": []})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("people.csv", "firstName,email,timezone,nopeDate,eveDate\nAda,ada@example.com,UTC,2020-01-01,\n"),
        (
            "people.ndjson",
            '{"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC", "nopeDate": "2020-01-01"}\n'
            '{"firstName": "Bo", "email": "bo@example.com", "timezone": "UTC", "eveDate": null}\n',
        ),
    ],
)
async def test_a_dry_run_names_the_dates_that_it_cannot_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    """The import refuses them if there is no such occasion, and only the database knows."""
    file = tmp_path / name
    file.write_text(text)

    code = await imported("http://127.0.0.1:1", file, "--dry-run")
    said = capsys.readouterr().out
    await imported("http://127.0.0.1:1", file, "--dry-run", "--json")

    assert code == 0
    assert " valid, 0 refused\nNot checked: eveDate, nopeDate: only the import knows the occasions.\n" in said
    assert json.loads(capsys.readouterr().out)["notChecked"] == ["eveDate", "nopeDate"]


async def test_a_row_with_a_field_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of its values would be lost unseen."""
    file = tmp_path / "people.ndjson"
    file.write_text('{"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC", "firstName": "Bo"}\n')

    code = await imported("http://127.0.0.1:1", file, "--dry-run")

    assert (code, "line 1: firstName: Given more than once.\n" in capsys.readouterr().err) == (1, True)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('"First Name": "Bo", "E-Mail": "b@example.com"', "email, firstName: given by several keys"),
        ('"externalId": 0', "externalId: "),
        ('"lastName": false', "lastName: "),
        ('"birthdayDate": 0', "birthdayDate: "),
        ('"locale": []', "locale: "),
        ('"locationCity": {}', "locationCity: "),
    ],
)
async def test_no_value_of_a_row_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, said: str
) -> None:
    """Neither that of another spelling of a field, nor one that is no text."""
    file = tmp_path / "people.ndjson"
    file.write_text(f'{{"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC", {field}}}\n')

    code = await imported("http://127.0.0.1:1", file, "--dry-run")

    assert (code, f"line 1: {said}" in capsys.readouterr().err) == (1, True)


async def test_the_file_of_refused_rows_can_be_corrected_and_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As its page says."""
    file, refused = tmp_path / "people.ndjson", tmp_path / "refused.ndjson"
    file.write_text('{"firstName": "Ada", "email": "ada@example.com", "timezone": "Nowhere"}\n')

    assert await imported("http://127.0.0.1:1", file, "--dry-run", "--refused", str(refused)) == 1
    refused.write_text(refused.read_text().replace("Nowhere", "UTC"))
    capsys.readouterr()

    assert await imported("http://127.0.0.1:1", refused, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["valid"] == 1


@pytest.mark.parametrize(
    "words", [["--zone-from", "locationCountry"], ["--map", "Land=locationCountry", "--zone-from", "Land"]]
)
async def test_the_country_of_the_zone_is_kept(api: Api, tmp_path: Path, words: list[str]) -> None:  # noqa: F811
    """In NDJSON as in CSV."""
    column = words[-1]
    lines, table = tmp_path / "people.ndjson", tmp_path / "people.csv"
    lines.write_text(json.dumps({"firstName": "Ada", "email": "a@example.com", column: "DE"}) + "\n")
    table.write_text(f"firstName,email,{column}\nAda,b@example.com,DE\n")

    for file in (lines, table):
        assert await imported(api.url, file, *words) == 0

    found = await api.database.fetch("-- found\nselect location_country, timezone from users")
    assert [tuple(row) for row in found] == [("DE", "Europe/Berlin")] * 2


async def test_a_dry_run_refuses_a_field_that_no_occasion_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No occasion can have a field of this name, so the import refuses it, too."""
    file = tmp_path / "people.ndjson"
    file.write_text('{"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC", "nickname": "A"}\n')

    code = await imported("http://127.0.0.1:1", file, "--dry-run")

    assert (code, "line 1: nickname: Unknown field." in capsys.readouterr().err) == (1, True)


async def test_a_key_comes_from_a_file_or_the_environment(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    """An error of the API about the key is shown."""
    served = await serve({"api_keys": parse_api_keys("hr:write:0123456789abcdef,look:read:fedcba9876543210")})
    file, key = tmp_path / "people.csv", tmp_path / "key"
    file.write_text("firstName,email,timezone\nAda,ada@example.com,UTC\n")
    key.write_text("0123456789abcdef\n")

    assert await imported(served.url, file, "--key-file", str(key)) == 0
    for given in ({"HEYDAY_API_KEY": "0123456789abcdef"}, {"HEYDAY_API_KEY_FILE": str(key)}):
        assert await imported(served.url, file, "--on-conflict", "update", **given) == 0
    key.write_text("\ufeff0123456789abcdef\n", encoding="utf-8")  # as editors on Windows write it
    assert await imported(served.url, file, "--on-conflict", "update", "--key-file", str(key)) == 0
    with pytest.raises(CommandFailed, match=r"401: .* Give the key by --key-file or HEYDAY_API_KEY"):
        await imported(served.url, file)
    with pytest.raises(CommandFailed, match="403"):
        await imported(served.url, file, HEYDAY_API_KEY="fedcba9876543210")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--map", "Name=fistName"], "no such field"),
        (["--map", "Nope=email"], "no column 'Nope'"),
        (["--zone-from", "Land"], "no column 'Land'"),
        (["--url", "ftp://x"], "expected http://"),
        (["--url", "http://127.0.0.1:99999"], "expected http://"),
        (["--url", "http://127.0.0.1:1/prefix?key=x"], "expected http://"),
        (["--url", "http://127.0.0.1:1/#/users"], "expected http://"),
        (["--key-file", "/nowhere"], "No such file"),
        (["--refused", "/nowhere/x"], "No such file"),
        (["--refused", "{folder}/link.csv"], "expected another file than the one to import"),
    ],
)
async def test_wrong_usage_is_told_before_anything_is_sent(tmp_path: Path, words: list[str], said: str) -> None:
    """The exit code is 2, and the file is as it was."""
    file = tmp_path / "people.csv"
    file.write_text("Name,firstName,email,timezone\n")
    (tmp_path / "link.csv").symlink_to(file)

    with pytest.raises(WrongUsage, match=said):
        await imported("http://127.0.0.1:1", file, *(word.format(folder=tmp_path) for word in words))

    assert file.read_text() == "Name,firstName,email,timezone\n"


@pytest.mark.parametrize("rows", [1, 1000])
async def test_a_full_disk_of_the_refused_rows_is_told_with_their_file(tmp_path: Path, rows: int) -> None:
    """It is no mistake of the file that is imported, and not of the usage."""
    file = tmp_path / "people.csv"
    file.write_text("firstName,email,timezone\n" + "Ada,no address,UTC\n" * rows)

    with pytest.raises(CommandFailed, match="--refused /dev/full: No space left on device"):
        await imported("http://127.0.0.1:1", file, "--dry-run", "--refused", "/dev/full")


async def test_a_key_file_without_an_end_is_wrong_usage(tmp_path: Path) -> None:
    """A wrong path may name a device, or a file of many gigabytes."""
    file = tmp_path / "people.csv"
    file.write_text("firstName,email,timezone\n")

    with pytest.raises(WrongUsage, match="--key-file /dev/zero: expected one key"):
        await asyncio.wait_for(imported("http://127.0.0.1:1", file, "--key-file", "/dev/zero"), 30)


@pytest.mark.parametrize("key", ["0123456789abcdef\n0123456789abcdef", "0123456789abcdef\udcff"])
async def test_a_key_that_is_not_one_line_of_text_is_wrong_usage(tmp_path: Path, key: str) -> None:
    """The client of HTTP refuses it with words about headers, or about encodings."""
    file = tmp_path / "people.csv"
    file.write_text("firstName,email,timezone\nAda,ada@example.com,UTC\n")

    with pytest.raises(BadConfiguration, match=r"HEYDAY_API_KEY='\*\*\*': expected one key"):
        await imported("http://127.0.0.1:1", file, HEYDAY_API_KEY=key)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (r'"\ud800"', "expected JSON: "),
        ("NaN", "expected JSON: "),
        ("9" * 40, "firstName: Expected a string."),
        ("[" * 300 + "]" * 300, "not nested as deep"),
        ("[" * 1000 + "]" * 1000, "not nested as deep"),
    ],
    ids=["half a character", "NaN", "a large number", "300 arrays", "1000 arrays"],
)
async def test_a_value_that_cannot_be_sent_costs_its_own_row(
    api: Api,  # noqa: F811
    tmp_path: Path,
    value: str,
    reason: str,
) -> None:
    """Python reads JSON that it cannot write again."""
    file, refused = tmp_path / "people.ndjson", tmp_path / "refused.ndjson"
    good = '{"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC"}'
    file.write_text(f'{{"firstName": {value}, "email": "b@example.com", "timezone": "UTC"}}\n{good}\n')

    code = await imported(api.url, file, "--refused", str(refused))

    assert code == 1
    assert await api.database.value("-- count\nselect count(*) from users") == 1
    (row,) = (json.loads(line) for line in refused.read_text(encoding="utf-8").splitlines())
    assert row["line"] == 1
    assert reason in row["reason"]


async def test_a_node_that_is_away_is_told(tmp_path: Path) -> None:
    """The exit code is 1, and the error is one sentence."""
    file = tmp_path / "people.csv"
    file.write_text("firstName,email,timezone\nAda,ada@example.com,UTC\n")

    with pytest.raises(CommandFailed, match="cannot be reached"):
        await imported("http://127.0.0.1:1", file)


@pytest.mark.parametrize("cause", ["nowhere", "not HTTP", "no API", "unauthorised"])
async def test_an_import_that_never_began_gives_no_hint_to_repeat_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cause: str
) -> None:
    """The address or the key is wrong, so the same command ends in the same way."""

    async def answer(_: web.Request) -> web.Response:
        page = web.Response(text="<html>\n")
        return web.json_response({"detail": "No such key."}, status=401) if cause == "unauthorised" else page

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()  # a server that closes earlier may reset the connection before its answer is read
        writer.close()

    app = web.Application()
    app.router.add_post("/api/v1/users:import", answer)
    other = await asyncio.start_server(speak, "127.0.0.1")
    async with TestServer(app) as server, other:
        urls = {"nowhere": "http://127.0.0.1:1", "not HTTP": f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"}
        url = urls.get(cause, str(server.make_url("/")))
        code = await asyncio.to_thread(main, ["import", str(five_people(tmp_path)), "--url", url])

    written = capsys.readouterr()
    assert (code, written.out) == (1, "0 created, 0 updated, 0 unchanged, 0 refused\n")
    assert len(written.err.splitlines()) == 1, written.err


@pytest.mark.parametrize("text", ['[{"line": 1, "status": 201}]', "{\n", '{"line": "1", "status": 201}'])
async def test_an_answer_that_a_proxy_wrote_again_gives_a_hint_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """The API has taken rows, and the same command is right once the proxy is."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/v1/users:import", answer)
    async with TestServer(app) as server:
        arguments = ["import", str(five_people(tmp_path)), "--url", str(server.make_url("/"))]
        code = await asyncio.to_thread(main, arguments)

    written = capsys.readouterr().err
    assert code == 1
    assert "this is no API of heyday" in written
    assert "No row has a result. Run the command again. Rows that are there already are refused" in written


CREATED = '{"line": %d, "status": 201}\n'


@asynccontextmanager
async def breaking_off(
    ending: Callable[[web.StreamResponse], Awaitable[None]],
) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """An API that answers a request of two rows in full, and one row of the next one. Then `ending` follows."""
    requests = itertools.count()
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write((CREATED % 1).encode())
        if not next(requests):
            await response.write((CREATED % 2).encode())
            return response
        begun.set()
        await ending(response)
        return response

    app = web.Application()
    app.router.add_post("/api/v1/users:import", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), begun


async def cut(response: web.StreamResponse) -> None:
    """End the connection in the middle of the answer."""
    assert response._req is not None
    assert response._req.transport is not None
    response._req.transport.abort()


async def give_up(response: web.StreamResponse) -> None:
    """End the answer as the API does while its database is away."""
    await response.write(b'{"status": 503, "detail": "The database is away."}\n')


async def say_something_else(response: web.StreamResponse) -> None:
    """Go on as another program would."""
    await response.write(b"[]\n")


async def say_something_like_it(response: web.StreamResponse) -> None:
    """Go on as a proxy that writes JSON again would."""
    await response.write(b'{"status": 422, "line": "2", "errors": []}\n')


async def refuse_without_a_reason(response: web.StreamResponse) -> None:
    """Refuse a row with an error that names no field."""
    await response.write(b'{"status": 422, "line": 2, "errors": [{}]}\n')


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (cut, "heyday: the API cannot be reached: "),
        (give_up, "heyday: the import ended early: The database is away.\n"),
        (say_something_else, "heyday: this is no API of heyday: "),
        (say_something_like_it, "heyday: this is no API of heyday: "),
        (refuse_without_a_reason, "heyday: this is no API of heyday: "),
    ],
)
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "Rows that are there already are refused, because their addresses are taken.\n"),
        (["--on-conflict", "update"], "Rows that are there already stay as they are.\n"),
    ],
)
async def test_an_import_that_breaks_off_reports_what_it_has_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: Callable[[web.StreamResponse], Awaitable[None]],
    said: str,
    words: list[str],
    hint: str,
) -> None:
    """A person must know if sending the file again is safe, and how far it came."""
    monkeypatch.setattr(sending, "ROWS_PER_REQUEST", 2)
    file = five_people(tmp_path)

    async with breaking_off(ending) as (url, _):
        arguments = ["import", str(file), "--url", url, *words]
        codes = [await asyncio.to_thread(main, [*arguments, *more]) for more in ([], ["--json"])]

    written = capsys.readouterr()
    text, content = written.out.splitlines()
    assert codes == [1, 1]
    assert text == "3 created, 0 updated, 0 unchanged, 0 refused"
    assert json.loads(content) == {"created": 1, "updated": 0, "unchanged": 0, "refused": 0, "upToLine": 2}
    assert said in written.err
    assert f"The last row with a result is in line 4. Run the command again. {hint}" in written.err


async def test_an_import_that_is_interrupted_reports_what_it_has_done(tmp_path: Path) -> None:
    """Ctrl-C ends it in the middle of a request."""

    async def wait(_: web.StreamResponse) -> None:
        await asyncio.sleep(60)

    file = five_people(tmp_path)
    async with breaking_off(wait) as (url, begun):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; from actors.commands.imports import sending; from actors.cli import main; "
            "sending.ROWS_PER_REQUEST = 2; sys.exit(main())",
            *("import", str(file), "--url", url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # The tests may run in the background, where a shell has the signal ignored.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        await asyncio.wait_for(begun.wait(), 60)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 130
    # The last row of the two may have its result or not.
    assert re.fullmatch(r"[23] created, 0 updated, 0 unchanged, 0 refused\n", out.decode())
    assert re.search(r"The last row with a result is in line [34]\. Run the command again", err.decode())


def five_people(folder: Path) -> Path:
    """A file of five rows that are all valid."""
    file = folder / "people.csv"
    file.write_text("firstName,email,timezone\n" + "".join(f"Ada,ada{n}@example.com,UTC\n" for n in range(5)))
    return file


@pytest.mark.parametrize(
    ("country", "zone"),
    [("DE", "Europe/Berlin"), ("germany", "Europe/Berlin"), ("United Kingdom", "Europe/London"), ("jp", "Asia/Tokyo")],
)
def test_a_country_with_one_time_has_a_zone(country: str, zone: str) -> None:
    """Several zones with equal times count as one: Germany has Berlin and Büsingen."""
    assert zone_of_country(country, NOW) == zone


@pytest.mark.parametrize(
    ("country", "said"),
    [
        ("US", "America/New_York"),
        ("ES", "Atlantic/Canary"),
        ("XX", "not 'XX'"),
        ("BV", "BV has no time zone"),
        ("Bouvet Island", "BV has no time zone"),
    ],
)
def test_a_country_with_several_times_has_none(country: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error lists the possible zones. Many rows of one country cost one comparison."""
    with pytest.raises(NoZone, match=said):
        zone_of_country(country, NOW)
    monkeypatch.setattr(countries, "_clock", lambda *_: pytest.fail("compared again"))
    with pytest.raises(NoZone, match=said):
        zone_of_country(country, NOW)


@pytest.mark.parametrize(
    ("form", "text", "day"),
    [
        ("DD.MM.YYYY", "29.02.1988", "1988-02-29"),
        ("%d.%m.%Y", "29.02.1988", "1988-02-29"),
        ("MM/DD", "02/29", "--02-29"),
        ("DD.MM.YY", "01.05.75", "1975-05-01"),
        ("DD.MM.YY", "01.05.49", "1949-05-01"),
        ("YYYYMMDD", "19880229", "1988-02-29"),
    ],
)
def test_dates_are_read_by_their_format(form: str, text: str, day: str) -> None:
    """A two-digit year that would lie in the future is of the century before."""
    assert str(DateFormat(form).parse(text, date(2026, 11, 29))) == day


@pytest.mark.parametrize("form", ["", "YYYY", "DD.MM.YYYY HH", "%d.%m.%Q", "DD", "DD.DD.MM.YYYY", "%d.%m.YYYY.%Y"])
def test_what_is_no_format_of_dates_is_refused(form: str) -> None:
    """The error comes before any row is read."""
    with pytest.raises(ValueError, match="expected day"):
        DateFormat(form)


def rows_of(text: bytes) -> list[Any]:
    """Return lines with their cells or reasons."""
    return [(row.line, row.cells or row.reason) for row in open_source(text.splitlines(keepends=True), "csv").rows]


def test_what_spreadsheets_add_to_a_table_costs_no_row() -> None:
    """The line that names the delimiter, empty rows, and empty cells after the last column."""
    lines = [
        b"sep=;\r\n",
        b"firstName;email;;\r\n",
        b"Ada;a@b.de;;\r\n",
        b";;;\r\n",
        b"Bob;b@b.de\r\n",
        b"Cyd;c;;x\r\n",
        b"Dan;d;;;\r\n",
    ]

    source = open_source(lines, "csv")
    rows = list(source.rows)

    assert source.columns == ("firstName", "email", "")
    assert [(one.line, one.cells) for one in rows] == [
        (3, {"firstName": "Ada", "email": "a@b.de"}),
        (5, {"firstName": "Bob", "email": "b@b.de"}),
        (6, None),
        (7, None),
    ]
    assert [one.reason for one in rows[2:]] == [
        "expected 3 cells, as the header has, and found 4",
        "expected 3 cells, as the header has, and found 5",
    ]


def test_a_quote_without_an_end_costs_its_own_row() -> None:
    """The rows after it are read. A record may have several lines."""
    found = rows_of(b'a,b\n"x,1\ny,2\n"two\nlines",3\n\xff,4\nz,"5"\n1,2,3\n')

    assert [line for line, _ in found] == [2, 3, 4, 6, 7, 8]
    assert found[1][1] == {"a": "y", "b": "2"}
    assert found[2][1] == {"a": "two\nlines", "b": "3"}
    assert found[4][1] == {"a": "z", "b": "5"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a,b\r1,2\r3,4\r", "end with CR alone"),
        (b'"' + b"a" * 200_000 + b'",b\n1,2\n', "line 1: expected a header"),
        (b"a,b,a\n", "line 1: the header has column 'a' more than once"),
    ],
    ids=["CR alone", "a large field", "a column twice"],
)
def test_a_header_that_cannot_be_read_is_one_sentence(text: bytes, said: str) -> None:
    """Without a header no row can be read."""
    with pytest.raises(CommandFailed, match=said):
        open_source([text], "csv")


def test_a_bar_shows_how_much_is_done() -> None:
    """It appears on a terminal, after one second."""
    bar = ProgressBar("importing users", total=4)
    bar.advance(2)

    assert bar.line(80).startswith(f"[{'#' * 15}{'.' * 15}] importing users: 2 of 4")


@pytest.mark.parametrize("columns", [1, 20, 40, 45, 60, 80, 200])
def test_a_bar_fits_the_terminal(columns: int) -> None:
    """A terminal breaks a longer line, and each new version of it leaves the old one behind."""
    bar = ProgressBar("importing users", total=1_000_000)
    with bar:
        bar.advance(500_000)

        line = bar.line(columns)

    assert len(line) < columns
    assert line.endswith("importing users: 500000 of 1000000 (0 s)"[: columns - 1])
    assert columns < 60 or re.match(r"\[#+\.+\] importing", line)


def test_a_column_is_found_by_its_name_in_other_spelling() -> None:
    """Two columns for one field are an error, not a guess."""
    conversion = Conversion([], date_format=None, zone_from=None, now=NOW)

    assert conversion.fields_of(["First Name", "E-mail", "nameDayDate", "Salary"]) == {
        "First Name": "firstName",
        "E-mail": "email",
        "nameDayDate": "nameDayDate",
    }
    with pytest.raises(WrongUsage, match="several columns are email"):
        conversion.fields_of(["Email", "E-Mail"])


async def test_a_mapping_is_suggested_for_unknown_columns(
    api: Api,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The next call can be copied from the answer. A field that is there already is not suggested."""
    file = tmp_path / "people.csv"
    file.write_text(
        "Vorname,Nachname,e-mail,Date of birth,Work Email,Shoe size\nJörg,Weiß,joerg@example.com,,x@y.de,44\n"
    )

    await imported(api.url, file, "--dry-run")

    err = capsys.readouterr().err
    assert "left out: Vorname, Nachname, Date of birth, Work Email, Shoe size\n" in err
    assert (
        "perhaps you mean: --map Vorname=firstName --map Nachname=lastName --map 'Date of birth=birthdayDate'\n" in err
    )
