"""Thousands of requests made from the document, good ones and bad ones: the API does as it says, and never fails.

`make test` makes some; `pytest tests/api/fuzz --fuzz-examples 10000` makes that many. Schemathesis chooses them from
the OpenAPI document and judges every answer by it: status, headers, media type and schema, that what the document
refuses is refused and what it permits is accepted, that keys are asked for, that what was deleted is gone.
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

from tests.node.harness import ROOT, World

CONFIG = Path(__file__).with_name("schemathesis.toml")
PARAMETRISED = 15
"""The examples are shared among so many operations; some have too little to vary for their share."""


async def make_messages(world: World) -> None:
    """Messages that can be looked at and redriven, with the ids that the configuration knows."""
    ids = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["dictionaries"]["messages"]["values"]
    await world.users(len(ids), datetime.now(UTC).date())
    await world.fetch(
        """
        insert into messages (id, user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata,
            ended_at, reason)
        select ids.id, users.id, 'birthday', extract(year from now()), 'UTC', now(), now(), 'failed', 1, '2026a',
            now(), 'refused'
        from unnest($1::uuid[]) with ordinality ids (id, n)
        join (select id, row_number() over () as n from users) users using (n)
        """,
        ids,
    )


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("keys", ["", "fuzz-key"], ids=["open", "with keys"])
async def test_no_request_made_from_the_document_is_answered_other_than_it_says(
    small_world: World, pytestconfig: pytest.Config, keys: str, tmp_path: Path
) -> None:
    """No 500 for any input, and no surprise for anybody who reads the document."""
    wanted = pytestconfig.getoption("--fuzz-examples") // 2
    await make_messages(small_world)
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
