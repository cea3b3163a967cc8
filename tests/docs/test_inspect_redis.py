"""Runs docs/how-to/inspect_redis.md: each command with redis-cli, in the Redis of a real node.

Without redis-cli, the Python client sends the same command, and the test formats the reply as redis-cli does.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from typing import Any

from redis.asyncio import Redis

from actors.commands.sandbox.servers.relay import relayed
from tests.docs.commands import Step, steps
from tests.node.harness import ROOT, NeverCame, World, eventually

DOCUMENT = ROOT / "docs" / "how-to" / "inspect_redis.md"

VARYING = re.compile(
    r"""
    \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b  # an id
    | \b\d{13}-\d+\b                                 # an entry of a stream
    | \b[0-9a-f]{32}\b                               # a client
    | \b\d{16,}\b                                    # an instant in microseconds
    | (?<=\(integer\)\ )\d{3,}\b                     # milliseconds that are left, or have passed
    | (?<=")\d+(?=:node-1")                          # the fencing token of a lock
    """,
    re.VERBOSE,
)
"""Values that differ from run to run."""

PRINTED_KEY = "heyday:dedupe:2026-11-24"
"""The set of accepted messages on the page."""


async def test_every_command_of_the_page_answers_what_it_prints(world: World) -> None:
    """An operator compares the output with the page."""
    found = steps(DOCUMENT)
    await world.begin()
    async with relayed(str(world.rabbitmq_url)) as rabbitmq:
        node = await world.node(RABBITMQ_URL=rabbitmq.url, RATE_LIMIT="6/m", EMAIL_RATE="15/m")
        due = await world.wave(3)
        await node.logged("node_entered")
        rabbitmq.cut()
        await world.clock.set(due)
        await _claimed(world)

        heading, step_key = "", PRINTED_KEY
        for step in found:
            if step.heading != heading:
                heading = step.heading
                if heading == "Rates":
                    rabbitmq.mend()
                    await _exists(world, "heyday:rate:email")
                    for _ in range(3):  # the key lives for ten seconds more after each
                        await node.get("/api/v1/users")
                elif heading == "What was accepted":
                    await world.all_are("sent", 3)
                    step_key = await _exists(world, "heyday:dedupe:*")
            # The name of the set has the day on which the messages were planned: the day of this run.
            await _check(step._replace(command=step.command.replace(PRINTED_KEY, step_key)), world.redis_url)

    assert len(found) == DOCUMENT.read_text(encoding="utf-8").count("\n$ ") >= 12


async def _claimed(world: World) -> None:
    """Wait until the node has claimed due messages, and has planned after the clock jump."""
    async with Redis.from_url(world.redis_url) as redis:

        async def claimed() -> bool:
            pending = await redis.xpending("heyday:due", "nodes")
            return bool(pending["pending"]) and await redis.xlen("heyday:plan") == 0

        await eventually(claimed)


async def _exists(world: World, pattern: str) -> str:
    """Wait until a key exists, and return its name."""
    async with Redis.from_url(world.redis_url, decode_responses=True) as redis:

        async def found() -> str | None:
            return next(iter([str(key) async for key in redis.scan_iter(pattern)]), None)

        name = await eventually(found)
    assert name is not None
    return name


async def _check(step: Step, url: str) -> None:
    """Wait until the node's state is as printed; it may still be at work."""
    answered = ""

    async def as_printed() -> bool:
        nonlocal answered
        answered = await _asked(step.command, url)
        return _agree(step, answered)

    try:
        await eventually(as_printed, every=0.2)
    except NeverCame:
        raise AssertionError(f"{step.command}\nprinted:\n{step.printed}\nanswered:\n{answered}") from None


def _agree(step: Step, answered: str) -> bool:
    wanted, got = _lines(step.printed), _lines(answered)
    if re.search("--scan|SMEMBERS", step.command):  # in no order
        wanted, got = sorted(wanted), sorted(got)
    if re.search(r"XPENDING .* - \+|XINFO CONSUMERS", step.command):  # times, and how often something happened
        wanted, got = ([re.sub(r"\(integer\) .+", "…", line) for line in lines] for lines in (wanted, got))
    if ":fence" in step.command:
        wanted, got = ([re.sub(r"\d+", "…", line) for line in lines] for lines in (wanted, got))
    if "XINFO" in step.command:  # newer servers tell more
        rest = iter(got)
        got = [line for line in wanted if line in rest]
    return got == wanted


def _lines(text: str) -> list[str]:
    """Return the lines without varying values and positions."""
    return [re.sub(r"^[ \d)]*\)", "", VARYING.sub("…", line)).strip() for line in text.splitlines()]


async def _asked(command: str, url: str) -> str:
    program, *words = shlex.split(command)
    assert program == "redis-cli"
    if shutil.which(program) is None:
        return await _asked_without_program(words, url)
    url = url.replace("://:", "://default:")  # redis-cli takes no name for an empty one
    process = await asyncio.create_subprocess_exec(
        *(program, "-u", url, "--no-raw", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    answered, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return answered.decode().strip()


async def _asked_without_program(words: list[str], url: str) -> str:
    async with Redis.from_url(url, decode_responses=True, protocol=2) as redis:
        if words[:2] == ["--scan", "--pattern"]:
            return "\n".join([f'"{key}"' async for key in redis.scan_iter(words[2])])
        redis.response_callbacks.clear()
        execute: Any = redis.execute_command  # which has no types
        return _written(await execute(*words))


def _written(reply: Any) -> str:
    """Format a reply as redis-cli does at a terminal, without the padding of numbers."""
    match reply:
        case None:
            return "(nil)"
        case int():
            return f"(integer) {reply}"
        case list():
            return "\n".join(f"{place}) {_written(one)}" for place, one in enumerate(reply, start=1))
    return f'"{reply}"'
