"""`heyday hold`, `release` and `holds`, called as on the command line."""

from __future__ import annotations

import json
import os
import pwd

import pytest

from tests.actors.commands.conftest import Run


async def ids(heyday: Run, *words: str) -> list[str]:
    """The ids that `heyday holds` lists."""
    _, out, _ = await heyday("holds", "--json", *words)
    return [json.loads(line)["id"] for line in out.splitlines()]


async def test_an_operator_holds_looks_and_releases(heyday: Run) -> None:
    """Three commands hold, list and release, and none of them needs an id."""
    assert (await heyday("holds"))[1] == "Nothing is held.\n"

    code, out, _ = await heyday("hold", "--reason", "the text has a mistake", "--for", "2h")
    assert code == 0
    (made,) = await ids(heyday)
    assert f"heyday release {made}" in out
    _, out, _ = await heyday("holds")
    assert "everything is held since" in out
    assert f"by {pwd.getpwuid(os.getuid()).pw_name}: the text has a mistake" in out

    assert (await heyday("release"))[0] == 0
    assert await ids(heyday) == []
    assert await ids(heyday, "--all") == [made]
    assert (await heyday("holds", "--all"))[1].startswith(f"{made}  everything, ")
    assert (await heyday("release"))[:2] == (0, "Nothing is held.\n")
    assert (await heyday("release", "--occasion", "birthday"))[:2] == (0, "birthday is not held.\n")
    assert (await heyday("release", "--all", "--json"))[:2] == (0, "")


async def test_of_several_holds_one_is_named(heyday: Run) -> None:
    """`release` does not guess which of several holds is meant."""
    for words in (["--occasion", "birthday"], ["--until", "2099-01-01"], []):
        assert (await heyday("hold", "--reason", "a test", *words))[0] == 0
    assert (await heyday("release"))[0] == 2
    assert len(await ids(heyday)) == 3

    code, out, _ = await heyday("release", "--occasion", "birthday")
    assert code == 0
    assert out.count("everything is held") == 2  # what is still held
    first, second = await ids(heyday)
    assert (await heyday("release", first))[0] == 0
    assert await ids(heyday) == [second]
    assert (await heyday("release", "--all"))[0] == 0
    assert await ids(heyday) == []


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--reason", " "],
        ["--reason", "why", "--occasion", "name_day"],
        ["--reason", "why", "--for", "soon"],
        ["--reason", "why", "--until", "2001-01-01"],
        ["--reason", "why", "--for", "1h", "--until", "2099-01-01"],
    ],
)
async def test_a_hold_that_makes_no_sense_is_wrong_usage(heyday: Run, words: list[str]) -> None:
    """Exit code 2, and nothing is held."""
    assert (await heyday("hold", *words))[0] == 2
    assert await ids(heyday) == []


async def test_too_many_holds_are_no_wrong_usage(heyday: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1: the same command works once a hold is released."""
    monkeypatch.setattr("service.adapters.postgres.holds.MOST_ACTIVE", 1)
    assert (await heyday("hold", "--reason", "a test"))[0] == 0

    code, _, err = await heyday("hold", "--reason", "a test")

    assert (code, "Release one first." in err) == (1, True)


async def test_an_unknown_hold_is_named(heyday: Run) -> None:
    """Exit code 1."""
    code, _, err = await heyday("release", "01937f10-2b44-7a90-b1c7-5d0e8f3a6c21")
    assert code == 1
    assert "there is no such hold" in err
    assert (await heyday("release", "--all", "--occasion", "birthday"))[0] == 2


@pytest.mark.parametrize("words", [["hold", "--reason", "a test"], ["release"]])
async def test_an_occasion_that_is_not_there_is_wrong_usage_with_the_codes(heyday: Run, words: list[str]) -> None:
    """After a typing error an operator must not believe that sending goes on, or stands still."""
    assert (await heyday("hold", "--reason", "a test", "--occasion", "birthday"))[0] == 0

    code, out, said = await heyday(*words, "--occasion", "brithday")

    assert (code, out) == (2, "")
    assert "--occasion: expected one of anniversary, birthday, not 'brithday'" in said


async def test_an_occasion_that_only_a_wider_hold_covers_is_not_called_free(heyday: Run) -> None:
    """`release --occasion` ends no hold of everything, and shows the one that is left."""
    await heyday("hold", "--reason", "a test")
    (everything,) = await ids(heyday)

    code, out, _ = await heyday("release", "--occasion", "birthday")

    assert code == 0
    assert out.startswith("There is no active hold of birthday alone. The active holds:\n" + everything)
