"""docs/API_DOCUMENTATION.md is run: each of its commands by a shell, with real curl, against real nodes.

What a command answers must be what is printed below it. Ids, cursors, instants and durations may be others; the ones
that are printed stand for the ones that were answered in all that follows.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.docs.commands import Step, steps
from tests.node.harness import ROOT, NodeProcess, World, eventually

DOCUMENT = ROOT / "docs" / "API_DOCUMENTATION.md"

VARYING = re.compile(
    r"""(
    \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b  # an id
    | \b[0-9a-f]{32}\b                               # a request id
    | (?<=[="])[A-Za-z0-9_-]{22}(?=["\s]|$)          # a cursor
    | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z         # an instant at which something was done
    )""",
    re.VERBOSE,
)
"""What differs from run to run. Instants of whole seconds are those of greetings, and are as printed."""

NINE = datetime(2027, 3, 15, 9, tzinfo=UTC)
"""When the document's Ada is greeted: London keeps winter time until the end of March."""

FAILED = """
    with made as (
        insert into users (first_name, last_name, email, email_key, timezone)
        values ('Mary', 'Shelley', 'mary@example.com', 'mary@example.com', 'Europe/Rome')
        returning id
    )
    insert into messages
        (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, ended_at, buried_at, reason)
    select id, 'birthday', 2027, 'Europe/Rome', at, at, 'failed', 1, '2026a', at, at, '400 Bad Request'
    from made, (values (timestamptz '2027-03-15 08:00Z')) instant (at)
"""
"""A greeting that the email service has refused."""


class Reader:
    """Does what the document says, and remembers what its ids stand for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._meant: dict[str, str] = {}

    async def run(self, step: Step, url: str) -> None:
        """Run the command; its answer must be as printed."""
        command = self._translated(step.command)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], "HEYDAY": url, "no_proxy": "*", "LC_ALL": "C.UTF-8"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        answered = (await process.communicate())[0].decode().replace("\r\n", "\n").strip()
        head, body = _parted(answered)
        printed_head, printed_body = _parted(step.printed)
        assert self._alike(_values(printed_body), _values(body)), f"{command}\n{answered}"
        missing = {self._translated(line) for line in printed_head} - set(head)
        assert not missing, f"{command}\n{answered}"

    def _alike(self, printed: Any, answered: Any) -> bool:
        """Whether one is as the other but for what varies."""
        match printed, answered:
            case dict(), dict():
                return list(printed) == list(answered) and all(self._alike(printed[k], answered[k]) for k in printed)
            case list(), list():
                return len(printed) == len(answered) and all(map(self._alike, printed, answered))
            case float(), float():
                return True  # a duration
            case str(), str():
                return self._texts_alike(printed, answered)
        return type(printed) is type(answered) and bool(printed == answered)

    def _texts_alike(self, printed: str, answered: str) -> bool:
        wanted, got = VARYING.split(printed), VARYING.split(answered)
        # One id is one thing throughout; an instant is whatever it was.
        self._meant.update((one, other) for one, other in zip(wanted[1::2], got[1::2], strict=False) if len(one) < 60)
        return wanted[0::2] == got[0::2] and len(wanted) == len(got)

    def _translated(self, text: str) -> str:
        return "".join(self._meant.get(piece, piece) for piece in VARYING.split(text))


def _parted(answer: str) -> tuple[list[str], str]:
    """Head, if there is one, and body."""
    head, _, body = answer.partition("\n\n") if answer.startswith("HTTP/") else ("", "", answer)
    return head.splitlines(), body


def _values(body: str) -> list[Any]:
    """The JSON values that it consists of; the lines of what is no JSON."""
    values, rest, decoder = [], body.strip(), json.JSONDecoder()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            return body.splitlines()
        values.append(value)
        rest = rest[end:].strip()
    return values


class Stage:
    """What must have happened, and where, before the commands under a heading make sense."""

    def __init__(self, world: World, node: NodeProcess, folder: Path) -> None:
        self._world = world
        self._node = node
        self._folder = folder

    async def set(self, heading: str) -> str:
        """The URL of the node to be asked under that heading."""
        match heading:
            case "Greetings":
                # 09:00 comes; the email service has refused the greeting of somebody else.
                await self._world.fetch(FAILED)
                await self._world.clock.set(NINE)
                await self._sent(1)
            case "Looking ahead":
                await self._sent(2)
            case "Keys and limits":
                file = self._folder / "keys.txt"
                file.write_text("old-key")
                self._node = await self._world.node(API_KEYS_FILE=str(file), RATE_LIMIT="1/m")
            case "Errors":
                self._node = await self._world.node()
        return f"http://127.0.0.1:{(await self._node.logged('api_listening'))['port']}"

    async def _sent(self, count: int) -> None:
        await eventually(lambda: self._world.has("sent", count))


async def test_every_command_of_the_page_answers_what_it_prints(small_world: World, tmp_path: Path) -> None:
    """People copy commands, and believe answers."""
    await small_world.begin()
    node = await small_world.node()
    await node.logged("node_entered")
    stage, reader = Stage(small_world, node, tmp_path), Reader(tmp_path)

    ran, heading, url = 0, "", ""
    for step in steps(DOCUMENT):
        if step.heading != heading:
            heading = step.heading
            url = await stage.set(heading)
        await reader.run(step, url)
        ran += 1

    assert ran == DOCUMENT.read_text(encoding="utf-8").count("\n$ ") >= 25
