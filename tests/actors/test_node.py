"""The composition root connects the actors."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from actors.http_server import ApiServer
from actors.node import Node
from service.api.dependencies import ApiDependencies
from service.api.middleware import api_keys
from service.node.clock import Jump
from service.settings import Secret, Settings, read


@pytest.mark.parametrize(("jump", "held"), [(Jump(30, 30), False), (Jump(30, 0), True), (Jump(-30, -30), True)])
async def test_a_machine_that_stood_still_ends_its_lease(jump: Jump, held: bool) -> None:
    """The clocks of a paused guest stand still, also that of the lease, and other nodes may have ended its incarnation.

    A business clock that is set, as in a rehearsal, and a server with an earlier clock end no lease.
    """
    node = Node(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")))
    lease = node.context.lease
    lease.renew(7, lease.now())

    node._clock_jumped(jump)

    assert lease.held is held


async def test_an_api_that_restarts_goes_on_with_the_last_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A withdrawn API key or webhook secret stays invalid while its file has a mistake."""
    monkeypatch.setattr(api_keys, "KEY_FILE_POLL_INTERVAL", 0.0)
    old, new = (base64.b64encode(letter * 24).decode() for letter in (b"a", b"b"))
    files = {"API_KEYS": tmp_path / "keys", "EMAIL_EVENTS_SECRETS": tmp_path / "secrets"}

    def write(secret: str) -> None:
        files["API_KEYS"].write_text(f"crm:write:{secret}")
        files["EMAIL_EVENTS_SECRETS"].write_text(f"resend:whsec_{secret}")

    async def valid(known: ApiDependencies) -> list[bool]:
        _, keys = await known.email_event_secrets.keys("resend") or (None, [])
        return [known.api_keys.find(secret) is not None for secret in (old, new)] + [
            base64.b64decode(secret) in keys for secret in (old, new)
        ]

    def started(node: Node) -> ApiDependencies:
        api = node._make_api()
        assert isinstance(api, ApiServer)
        return api._dependencies

    write(old)
    servers = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h", "EMAIL_URL": "http://h"}
    by_file = {f"{name}_FILE": str(file) for name, file in files.items()}
    node = Node(read({f"HEYDAY_{name}": value for name, value in (servers | by_file).items()}))
    before = await valid(started(node))
    write(new)
    rotated = await valid(started(node))
    for file in files.values():
        file.write_text("a:b:c")
    broken = await valid(started(node))

    assert before == [True, False] * 2
    assert rotated == broken == [False, True] * 2
