"""Tests imports of CSV: files of many spreadsheets, and a broken row that stops no other."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from service.api.http.csv_lines import csv_header
from service.api.http.problems import Problem
from tests.service.api.conftest import Api
from tests.service.api.test_imports import IMPORT

HEADER = b"firstName,lastName,email,timezone,birthdayDate\n"
FIELDS = {"firstName": False, "lastName": True, "email": False, "timezone": False, "birthdayDate": True}


async def run(api: Api, body: bytes, query: str = "", of: str = "text/csv") -> tuple[int, list[dict[str, Any]]]:
    """Import CSV."""
    async with api.client.post(IMPORT + query, data=body, headers={"Content-Type": of}) as response:
        return response.status, [orjson.loads(line) async for line in response.content]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
async def test_what_spreadsheets_write_is_understood(api: Api, mark: bytes, end: bytes, delimiter: bytes) -> None:
    """Byte order mark, CRLF, semicolons and quotes. Each result has the line of the file."""
    rows = (
        HEADER + b'"Ada","Love ""L"" lace",ada@example.com,Europe/London,1990-05-01\n\nBo,,bo@example.com,UTC,--02-29\n'
    )

    status, results = await run(
        api, mark + rows.replace(b",", delimiter).replace(b"\n", end), of="text/csv; charset=utf-8"
    )

    assert status == 200
    assert [(one["line"], one["status"]) for one in results] == [(2, 201), (4, 201)]
    _, page = await api.call("GET", "/api/v1/users")
    assert {user["lastName"]: user["birthdayDate"] for user in page["items"]} == {
        'Love "L" lace': "1990-05-01",
        None: "--02-29",
    }


async def test_one_broken_row_ends_no_other(api: Api) -> None:
    """An open quote, a quote in the middle, wrong numbers of cells, invalid UTF-8, and an empty required cell."""
    broken = [
        b'"Ada,L,a1@example.com,UTC,',
        b'Ada"L",L,a2@example.com,UTC,',
        b"Ada,L,a3@example.com,UTC",
        b"Ada,L,a4@example.com,UTC,,",
        b"\xc4da,L,a5@example.com,UTC,",
        b",L,a6@example.com,UTC,",
        b"Ada,L,a7@example.com,Pacific Standard Time,31.12.1990",
    ]
    good = b"Ada,L,g%d@example.com,UTC,"
    lines = [line for number, one in enumerate(broken) for line in (one, good % number)]

    _, results = await run(api, HEADER + b"\n".join(lines))

    assert [one["status"] for one in results] == [400, 201, 400, 201, 400, 201, 400, 201, 400, 201, 422, 201, 422, 201]
    assert [one["line"] for one in results] == list(range(2, 16))
    assert results[10]["errors"] == [
        {"field": "firstName", "message": "Expected, and missing.", "pointer": "#/firstName"}
    ]
    assert [error["message"] for error in results[12]["errors"]] == [
        "Expected the name of an IANA time zone. Did you mean America/Los_Angeles?",
        "Expected a date as YYYY-MM-DD. Did you mean 1990-12-31?",
    ]


async def test_a_spreadsheet_twice_is_all_unchanged(api: Api) -> None:
    """NDJSON behaves in the same way."""
    rows = b"externalId,firstName,email,timezone\n" + b"".join(
        b"%d,Ada,ada%d@example.com,UTC\n" % (n, n) for n in range(700)
    )

    first, second = (await run(api, rows, "?onConflict=update"), await run(api, rows, "?onConflict=update"))

    assert {one["result"] for one in first[1]} == {"created"}
    assert {one["result"] for one in second[1]} == {"unchanged"}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"First Name,email", "Unknown column. Did you mean firstName?"),
        (b"birthday,email", "Unknown column. Did you mean birthdayDate?"),
        (b"email,email", "The header has this column twice."),
        (b"firstName,,email", "A column without a name, before others that have one."),
        (b"Vorname", "Unknown column. Expected one of "),
        (b"", "Expected a header"),
        (b"\xff\xfe", "Expected text in UTF-8."),
        (b"x" * 20_000, "Expected a header"),
    ],
)
async def test_a_wrong_header_is_told_before_any_row(api: Api, header: bytes, said: str) -> None:
    """Otherwise every row would have the same error."""
    status, (problem,) = await run(api, header + b"\nAda,L,ada@example.com,UTC,\n" * (header != b""))

    assert status in (400, 422)
    assert said in str(problem)


async def test_what_spreadsheets_add_to_a_table_costs_no_row(api: Api) -> None:
    """The line that names the delimiter, and empty cells after the last column, of which some rows have fewer."""
    rows = (
        b"sep=;\r\nfirstName;email;timezone;;;\r\nAda;ada@example.com;UTC;;;\r\n"
        b"Bob;bob@example.com;UTC\r\nCyd;cyd@example.com;UTC;;note;\r\nDan;dan@example.com\r\n"
        b"Eve;eve@example.com;UTC;;;;\r\n"
    )

    status, results = await run(api, rows)

    assert status == 200
    assert [(one["line"], one["status"]) for one in results] == [(3, 201), (4, 201), (5, 400), (6, 400), (7, 400)]
    assert results[2]["detail"] == "Expected 3 cells, as the header has, and found 5."


async def test_a_column_that_is_missing_is_told_in_each_row(api: Api) -> None:
    """A header need not have every field."""
    _, (result,) = await run(api, b"firstName,email\nAda,ada@example.com\n")

    assert result["errors"][0]["field"] == "timezone"


async def test_the_example_of_the_document_is_imported(api: Api) -> None:
    """Readers of the document learn from it that CSV is taken, and how its header is written."""
    _, document = await api.call("GET", "/openapi.json")
    content = document["paths"]["/api/v1/users:import"]["post"]["requestBody"]["content"]

    _, results = await run(api, content["text/csv"]["example"].encode())

    assert [(one["line"], one["status"]) for one in results] == [(2, 201)]


@pytest.mark.parametrize("charset", ["latin-1", "utf-16"])
async def test_another_encoding_is_refused(api: Api, charset: str) -> None:
    """A guess would break names."""
    status, _ = await run(api, HEADER, of=f"text/csv; charset={charset}")

    assert status == 415


@pytest.mark.parametrize("line", [b'"', b'""x', b'a,"b', b'a""b,', b'"a" ,'])
def test_a_stray_quote_is_refused(line: bytes) -> None:
    """The rest of the row could be read as wrong cells."""
    header = csv_header(HEADER.strip(), FIELDS)
    with pytest.raises(Problem):
        header.document(line)
