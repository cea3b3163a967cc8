"""Thousands of requests made from the OpenAPI document, valid and invalid: every answer is as documented.

`make test` makes some. `pytest tests/service/api/fuzz --fuzz-examples 10000` makes that many. Schemathesis checks each
answer: status, headers, media type and schema. It also checks that documented refusals and acceptances hold, that keys
are required, and that deleted resources are gone.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import FUZZ_EXAMPLES
from tests.node.harness import ROOT, World

CONFIG = Path(__file__).with_name("schemathesis.toml")
PARAMETRISED = 15
"""The examples are shared among so many operations; some have too little to vary for their share."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Use a node with keys, and for more examples than `make test` makes also one without."""
    if "keys" in metafunc.fixturenames:
        more = metafunc.config.getoption("--fuzz-examples") > FUZZ_EXAMPLES
        metafunc.parametrize("keys", ["fuzz-key", ""] if more else ["fuzz-key"], ids=["with keys", "open"][: 1 + more])


async def make_rows(world: World) -> None:
    """Make what the configuration names: messages that can be read and redriven, and occasions that are in use."""
    named = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["dictionaries"]
    ids, codes = named["messages"]["values"], named["occasions"]["values"]
    await world.users(len(ids), datetime.now(UTC).date())
    await world.fetch(
        "insert into occasions (code, template) select code, 'Hi {first_name}' from unnest($1::text[]) code", codes
    )
    await world.fetch(
        """
        insert into occasion_dates (user_id, occasion, date)
        select id, code, '1990-05-01' from users, unnest($1::text[]) code
        """,
        codes,
    )
    await world.fetch(
        """
        insert into messages (id, user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata,
            ended_at, status_reason)
        select ids.id, users.id, 'birthday', extract(year from now()), 'UTC', now(), now(), 'failed', 1, '2026a',
            now(), 'permanent_failure'
        from unnest($1::uuid[]) with ordinality ids (id, n)
        join (select id, row_number() over () as n from users) users using (n)
        """,
        ids,
    )


@pytest.mark.timeout(7200)
async def test_no_request_made_from_the_document_is_answered_other_than_it_says(
    small_world: World, pytestconfig: pytest.Config, keys: str, tmp_path: Path
) -> None:
    """No input causes a 500 or an undocumented answer."""
    wanted = pytestconfig.getoption("--fuzz-examples") // 2
    await make_rows(small_world)
    node = await small_world.node(API_KEYS=keys)
    url = f"http://127.0.0.1:{(await node.logged('api_listening'))['port']}/openapi.json"
    await node.logged("node_entered")

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", url),
        *("--max-examples", str(max(1, wanted // PARAMETRISED)), "--seed", "20270314"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()

    generated = re.search(r"^ *(\d+) generated", said, re.MULTILINE)
    sys.stdout.write(said)  # shown when the test fails, and with -s
    assert process.returncode == 0
    assert generated is not None
    assert int(generated[1]) >= wanted
    assert node.running
    assert node.crashes() == []
    assert node.lines_of("request_failed") == []
