"""`.heyday/` belongs to one demo at a time, and nothing outside of it is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.commands.demo.directory import DemoDirectory
from actors.commands.sandbox.servers.errors import DirectoryInUse, EmbeddedError


def test_two_demos_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second demo would kill the node of the first as a leftover."""
    first = DemoDirectory(tmp_path / ".heyday")

    with pytest.raises(DirectoryInUse):
        DemoDirectory(tmp_path / ".heyday")
    first.release()
    DemoDirectory(tmp_path / ".heyday").release()


def test_a_directory_that_cannot_be_made_is_an_error_with_the_reason(tmp_path: Path) -> None:
    """The error is a sentence, not a traceback."""
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match="cannot be used: Not a directory"):
        DemoDirectory(tmp_path / "file" / ".heyday")


def test_an_emptied_directory_has_only_its_lock(tmp_path: Path) -> None:
    """Data behind a link, in a directory that heyday made elsewhere, is deleted, too."""
    place = DemoDirectory(tmp_path / ".heyday")
    elsewhere = tmp_path / "var" / "heyday-abc" / "postgres"
    elsewhere.mkdir(parents=True)
    place.postgres.symlink_to(elsewhere)
    (place.redis / "data").mkdir(parents=True)
    place.log.touch()

    place.empty()

    assert [entry.name for entry in place.path.iterdir()] == ["lock"]
    assert not elsewhere.parent.exists()
    place.release()


def test_a_link_that_heyday_did_not_make_is_removed_and_its_target_is_kept(tmp_path: Path) -> None:
    """A user may have put the data of PostgreSQL on another disk."""
    place = DemoDirectory(tmp_path / ".heyday")
    theirs = tmp_path / "disk" / "postgres"
    theirs.mkdir(parents=True)
    place.postgres.symlink_to(theirs)

    place.empty()

    assert theirs.exists()
    assert not place.postgres.exists()
    place.release()


def test_the_log_of_the_demo_before_is_kept(tmp_path: Path) -> None:
    """After a crash, a user starts the demo again and then looks for the cause."""
    place = DemoDirectory(tmp_path / ".heyday")
    place.begin_log()
    place.log.write_text("before")

    place.begin_log()

    assert not place.log.exists()
    assert (place.path / "node.before.log").read_text() == "before"
    place.release()
