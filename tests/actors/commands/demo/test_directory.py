"""`.heyday/` belongs to one demo at a time, and nothing outside it is ever thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.demo.place import Place
from service.embedded.errors import DirectoryInUse, EmbeddedError


def test_two_demos_do_not_share_a_place(tmp_path: Path) -> None:
    """The second would end the first's node as a left-over of a killed one."""
    first = Place(tmp_path / ".heyday")

    with pytest.raises(DirectoryInUse):
        Place(tmp_path / ".heyday")
    first.release()
    Place(tmp_path / ".heyday").release()


def test_a_place_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """A line for a person, not a traceback."""
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match="cannot be used: Not a directory"):
        Place(tmp_path / "file" / ".heyday")


def test_emptied_it_has_nothing_left_but_its_lock(tmp_path: Path) -> None:
    """Data that lie elsewhere behind a link, since an account could not reach the project, go too."""
    place = Place(tmp_path / ".heyday")
    elsewhere = tmp_path / "var" / "heyday-abc" / "postgres"
    elsewhere.mkdir(parents=True)
    place.postgres.symlink_to(elsewhere)
    (place.redis / "data").mkdir(parents=True)
    place.log.touch()

    place.empty()

    assert [entry.name for entry in place.path.iterdir()] == ["lock"]
    assert not elsewhere.parent.exists()
    place.release()


def test_a_link_that_somebody_else_made_is_removed_and_what_it_names_is_kept(tmp_path: Path) -> None:
    """Whoever put their PostgreSQL on another disk has not asked us to empty it."""
    place = Place(tmp_path / ".heyday")
    theirs = tmp_path / "disk" / "postgres"
    theirs.mkdir(parents=True)
    place.postgres.symlink_to(theirs)

    place.empty()

    assert theirs.exists()
    assert not place.postgres.exists()
    place.release()


def test_the_log_of_the_demo_before_is_kept(tmp_path: Path) -> None:
    """After a crash one starts again, and then looks for the reason."""
    place = Place(tmp_path / ".heyday")
    place.begin_log()
    place.log.write_text("before")

    place.begin_log()

    assert not place.log.exists()
    assert (place.path / "node.before.log").read_text() == "before"
    place.release()
