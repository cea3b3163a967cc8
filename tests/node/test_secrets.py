"""A running node uses the present content of its secret files."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from actors.commands.sandbox.servers.ports import free_port
from actors.commands.sandbox.servers.relay import relayed
from tests.node.harness import World
from tests.stopwatch import Stopwatch


async def test_changed_urls_of_every_server_are_used_without_a_restart(world: World, tmp_path: Path) -> None:
    """Passwords are rotated and servers replaced. The old addresses are closed afterwards."""
    urls = {"DATABASE_URL": world.dsn, "REDIS_URL": world.redis_url, "RABBITMQ_URL": str(world.rabbitmq_url)}
    files = {name: tmp_path / name for name in urls}
    async with AsyncExitStack() as stack:
        relays = {name: await stack.enter_async_context(relayed(url)) for name, url in urls.items()}
        for name, relay in relays.items():
            files[name].write_text(relay.url)
        await world.begin()
        by_file = {f"HEYDAY_{name}_FILE": str(file) for name, file in files.items()}
        node = await world.node(beside={f"HEYDAY_{name}": "" for name in urls} | by_file)
        at = await world.wave(50)

        for name, url in urls.items():
            files[name].write_text(url + "\n")
            await node.logged("secret_replaced", setting=f"HEYDAY_{name}_FILE")
        for relay in relays.values():
            relay.cut()
        await world.clock.set(at)

        await world.all_are("sent", 50)
        await world.assert_each_was_accepted_once(50)
    await world.assert_nobody_was_greeted_twice()


async def test_a_changed_email_url_is_used_within_a_second(small_world: World, tmp_path: Path) -> None:
    """The service has moved, or its password was wrong."""
    world = small_world
    file = tmp_path / "email"
    file.write_text(f"http://127.0.0.1:{free_port()}")
    await world.begin()
    node = await world.node(EMAIL_URL="", EMAIL_URL_FILE=str(file))
    await world.clock.set(await world.wave(5))
    since_change = Stopwatch()

    file.write_text(world.stub.url)

    await node.logged("secret_replaced", setting="HEYDAY_EMAIL_URL_FILE")
    assert since_change.seconds() < 2
    await world.all_are("sent", 5)


async def test_a_token_rotated_in_mid_wave_fails_no_message(small_world: World, tmp_path: Path) -> None:
    """The circuit shows `not authorised` until the new token is there.

    The rest of the wave then leaves without a restart.
    """
    world = small_world
    file = tmp_path / "token"
    file.write_text("first")
    world.stub.change(replace(world.stub.options, token="first", latency=(0.02, 0.02)))
    await world.begin()
    node = await world.node(EMAIL_TOKEN_FILE=str(file), EMAIL_CONCURRENCY="4", CIRCUIT_FAILURES="5", CIRCUIT_RESET="1s")
    await world.clock.set(await world.wave(200))
    await world.accepted(20)

    world.stub.change(replace(world.stub.options, token="second"))
    opened = await node.logged("circuit_opened")
    file.write_text("second\n")

    await node.logged("secret_replaced", setting="HEYDAY_EMAIL_TOKEN_FILE")
    await world.all_are("sent", 200)
    assert opened["reason"] == "not authorised"
    await world.assert_nobody_was_greeted_twice()


async def test_a_secret_that_cannot_be_used_changes_nothing(small_world: World, tmp_path: Path) -> None:
    """A half-written file must not stop a working node."""
    world = small_world
    file = tmp_path / "email"
    file.write_text(world.stub.url)
    await world.begin()
    node = await world.node(EMAIL_URL="", EMAIL_URL_FILE=str(file))
    at = await world.wave(5)

    file.write_text("http://[half")
    refused = await node.logged("secret_refused", setting="HEYDAY_EMAIL_URL_FILE")
    await world.clock.set(at)

    await world.all_are("sent", 5)
    assert "half" not in str(refused)
