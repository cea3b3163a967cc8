"""Servers that root starts in directories that their account cannot reach."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path

import pytest

from actors.commands.sandbox.servers.account import Account, account_for
from actors.commands.sandbox.servers.errors import EmbeddedError
from actors.commands.sandbox.servers.place import remove, settle
from actors.commands.sandbox.servers.redis import RedisServer
from actors.commands.sandbox.servers.server import Server
from actors.commands.sandbox.servers.wheels import program_from_wheel

IS_ROOT = os.geteuid() == 0
for_root = pytest.mark.skipif(not IS_ROOT, reason="only root runs servers as somebody else")


async def test_a_server_works_in_a_private_home_without_opening_it(tmp_path: Path, made: list[Server]) -> None:
    """A checkout below /root works, and its permissions do not change."""
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    redis = RedisServer(private / "project" / ".heyday" / "redis")
    made.append(redis)

    await redis.start()
    await redis.restart()

    link = private / "project" / ".heyday" / "redis"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert link.is_symlink() == IS_ROOT
    await redis.stop()
    if IS_ROOT:
        shutil.rmtree(link.resolve().parent)


def test_a_link_that_leads_nowhere_is_replaced(place: Path) -> None:
    """A project in a new container still has the link, but its target is missing."""
    directory = place / "redis"
    directory.symlink_to(place / "gone")

    home = settle(directory, account_for(directory))

    assert home.is_dir()


@for_root
def test_what_was_put_elsewhere_is_removed_with_its_link(tmp_path: Path) -> None:
    """Otherwise every rehearsal below a private home leaves its data in /var/lib."""
    directory = tmp_path / "private" / "postgres"
    directory.parent.mkdir(mode=0o700)
    home = settle(directory, account_for(directory))

    remove(directory)

    assert home.is_relative_to(tmp_path) is False
    assert not home.parent.exists()
    assert list(directory.parent.iterdir()) == []


@for_root
def test_files_where_the_account_cannot_go_are_an_error(tmp_path: Path) -> None:
    """They are not moved, and no server is started without them."""
    directory = tmp_path / "redis"
    directory.mkdir()
    (directory / "appendonly.aof").touch()
    nobody = pwd.getpwnam("nobody")

    with pytest.raises(EmbeddedError, match="cannot reach it"):
        settle(directory, Account(nobody.pw_uid, nobody.pw_gid))


@for_root
def test_root_runs_servers_as_the_owner_of_the_project(place: Path) -> None:
    """After `sudo make demo` the user can go on without sudo."""
    owner = pwd.getpwnam("daemon")
    os.chown(place, owner.pw_uid, owner.pw_gid)

    account = account_for(place / ".heyday" / "redis")
    settle(place / ".heyday" / "redis", account)

    assert account == Account(owner.pw_uid, owner.pw_gid)
    assert (place / ".heyday").stat().st_uid == owner.pw_uid


@for_root
def test_root_runs_servers_of_its_own_project_as_nobody(place: Path) -> None:
    """PostgreSQL refuses to run as root, and heyday adds no account to the system."""
    assert account_for(place / ".heyday").uid == pwd.getpwnam("nobody").pw_uid


@for_root
def test_programs_below_a_private_home_are_copied_once(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account of the servers cannot reach a virtual environment below /root."""
    package = tmp_path / "somewheel"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "server").write_text("#!/bin/sh\n")
    (package / "__init__.py").touch()
    (tmp_path / "somewheel.libs").mkdir()
    (tmp_path / "somewheel.libs" / "lib.so").touch()
    information = tmp_path / "somewheel-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: somewheel\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    nobody = pwd.getpwnam("nobody")
    account = Account(nobody.pw_uid, nobody.pw_gid)

    first = program_from_wheel("somewheel", "bin/server", home=place, account=account)
    (package / "bin" / "server").write_text("changed without a new version")
    second = program_from_wheel("somewheel", "bin/server", home=place, account=account)

    assert first == second
    assert first.is_relative_to(place)
    assert account.reaches(first)
    assert second.read_text() == "#!/bin/sh\n"
    assert (first.parents[2] / "somewheel.libs" / "lib.so").exists()
