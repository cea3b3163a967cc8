"""Runs docs/API_DOCUMENTATION.md: the commands in one shell, with real curl, against real nodes.

The answer must equal the printed output. Ids, cursors, instants and durations may differ; a printed id stands for the
answered id in all that follows.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    | (?<=[="])(?:[A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{36})(?=["\s]|$)          # a cursor
    | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z         # an instant at which something was done
    )""",
    re.VERBOSE,
)
"""Values that differ from run to run. Instants of whole seconds belong to greetings and must be as printed."""

NINE = datetime(2027, 3, 15, 9, tzinfo=UTC)
"""The instant of Ada's greeting; London has winter time until the end of March."""

FAILED = """
    with made as (
        insert into users (first_name, last_name, email, email_key, timezone)
        values ('Mary', 'Shelley', 'mary@example.com', 'mary@example.com', 'Europe/Rome')
        returning id
    )
    insert into messages
        (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, ended_at,
         dead_lettered_at, status_reason)
    select id, 'birthday', 2027, 'Europe/Rome', at, at, 'failed', 1, '2026a', at, at, '400 Bad Request'
    from made, (values (timestamptz '2027-03-15 08:00Z')) instant (at)
"""
"""A greeting that the email service refused."""


SHIM = """#!/bin/sh
case "$*" in *%Y*) echo 2027 ;; *) echo 03-15 ;; esac
"""
"""`date` as it is on the day before Ada's greeting."""

END = "--- end of a command ---"


class Shell:
    """One bash that runs the commands one after the other, as a reader pastes them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, command: str) -> str:
        """Run the command and return its output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\nprintf '\\n%s\\n' '{END}'\n".encode())
        said = await self._process.stdout.readuntil(f"\n{END}\n".encode())
        return said.decode().removesuffix(f"\n{END}\n").replace("\r\n", "\n").strip()


@asynccontextmanager
async def shell(folder: Path, *, path: str = os.environ["PATH"]) -> AsyncIterator[Shell]:
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc"),
        cwd=folder,
        env={"PATH": path, "no_proxy": "*", "LC_ALL": "C.UTF-8"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Shell(process)
    finally:
        process.kill()
        await process.wait()


class Reader:
    """Runs the commands of the document, and maps its ids to the real ones."""

    def __init__(self, bash: Shell) -> None:
        self._bash = bash
        self._meant: dict[str, str] = {}

    async def run(self, step: Step) -> None:
        """Run the command; its answer must be as printed."""
        answered = await self._bash.run(step.command)
        head, body = _parted(answered)
        printed_head, printed_body = _parted(step.printed)
        assert self._alike(_values(printed_body), _values(body)), f"{step.command}\n{answered}"
        missing = {self._translated(line) for line in printed_head} - set(head)
        assert not missing, f"{step.command}\n{answered}"

    def _alike(self, printed: Any, answered: Any) -> bool:
        """Return True if both are equal except for varying values."""
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
        # One id means one thing throughout; instants may differ.
        self._meant.update((one, other) for one, other in zip(wanted[1::2], got[1::2], strict=False) if len(one) < 60)
        return wanted[0::2] == got[0::2] and len(wanted) == len(got)

    def _translated(self, text: str) -> str:
        return "".join(self._meant.get(piece, piece) for piece in VARYING.split(text))


def _parted(answer: str) -> tuple[list[str], str]:
    """Split the output into head, if there is one, and body. The reason phrase of a status is Python's, and varies."""
    head, _, body = answer.partition("\n\n") if answer.startswith("HTTP/") else ("", "", answer)
    return re.sub(r"^(HTTP/\S+ \d{3}).*", r"\1", head).splitlines(), body


def _values(body: str) -> list[Any]:
    """Return the JSON values of a text, or its lines if it is not JSON."""
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
    """Prepares the state that the commands under a heading need."""

    PREPARED = ("Greetings", "Preview and forecast", "Keys and limits", "Errors")
    """The headings with a state of their own."""

    def __init__(self, world: World, node: NodeProcess, folder: Path) -> None:
        self._world = world
        self._node = node
        self._folder = folder

    async def set(self, heading: str) -> str:
        """Return the URL of the node for that heading."""
        match heading:
            case "Greetings":
                # It becomes 09:00; the email service has refused another user's greeting.
                await self._world.fetch(FAILED)
                await self._world.clock.set(NINE)
                await self._sent(1)
            case "Preview and forecast":
                await self._sent(2)
            case "Keys and limits":
                file = self._folder / "keys.txt"
                file.write_text("old-key")
                self._node = await self._world.node(API_KEYS_FILE=str(file), RATE_LIMIT="1/h")
            case "Errors":
                self._node = await self._world.node()
        return f"http://127.0.0.1:{(await self._node.logged('api_listening'))['port']}"

    async def _sent(self, count: int) -> None:
        await eventually(lambda: self._world.has("sent", count))


async def test_every_command_of_the_page_answers_what_it_prints(small_world: World, tmp_path: Path) -> None:
    """Readers copy the commands and expect the printed answers."""
    await small_world.begin()
    node = await small_world.node()
    await node.logged("node_entered")
    (shim := tmp_path / "date").write_text(SHIM)
    shim.chmod(0o755)
    stage = Stage(small_world, node, tmp_path)

    assert {step.heading for step in steps(DOCUMENT)}.issuperset(Stage.PREPARED)
    ran, heading = 0, ""
    async with shell(tmp_path, path=f"{tmp_path}:{os.environ['PATH']}") as bash:
        reader = Reader(bash)
        for step in steps(DOCUMENT):
            if step.heading != heading:
                heading = step.heading
                await bash.run(f"export HEYDAY={await stage.set(heading)}")
            await reader.run(step)
            ran += 1

    assert ran == DOCUMENT.read_text(encoding="utf-8").count("\n$ ") >= 25


def _kind(output: str) -> tuple[str | None, str | None]:
    """The status line and the problem type in an output, if present."""
    status = re.match(r"HTTP/1.1 (\d+)", output)
    problem = re.search(r'"type": ?"(/problems/[a-z-]+)", ?"title"', output)
    return status and status[1], problem and problem[1]


async def test_the_page_can_be_pasted_from_the_first_command_to_the_last(small_world: World, tmp_path: Path) -> None:
    """On a new node, on any day, each command gets the printed answer. No id has to be known."""
    node = await small_world.node()
    await node.logged("planning_announced")
    url = f"http://127.0.0.1:{(await node.logged('api_listening'))['port']}"
    (tmp_path / "keys.txt").write_text("old-key")

    async with shell(tmp_path) as bash:
        await bash.run(f"export HEYDAY={url}")
        for step in steps(DOCUMENT):
            if "keys.txt" in step.command or "Bearer" in step.command:
                continue  # of a node that limits its clients
            said = await bash.run(step.command)

            assert _kind(said) == _kind(step.printed), f"{step.command}\n{said}"
            if re.match(r"[A-Z]+=\$\(curl", step.command):
                name = step.command.partition("=")[0]
                assert await bash.run(f"echo ${name}"), f"nothing was found by: {step.command}"
