"""What the chaos command is asked for: every mistake is told before anything is started."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from actors.chaos.faults import KINDS
from actors.chaos.options import ChaosOptions, add_arguments, options_from


def parser() -> argparse.ArgumentParser:
    """That of the command."""
    made = argparse.ArgumentParser()
    add_arguments(made)
    return made


def parse(*words: str) -> ChaosOptions:
    """The options of a command line."""
    return options_from(parser().parse_args(words))


def test_without_arguments_three_nodes_meet_every_fault_once() -> None:
    """The shortest command is a whole rehearsal."""
    options = parse()

    assert (options.nodes, options.greetings, options.each, options.servers) == (3, 1000, 1, "embedded")
    assert options.faults == tuple(KINDS)


def test_a_seed_is_drawn_where_none_is_given() -> None:
    """Another sequence every night; each says which it was."""
    assert len({parse().seed for _ in range(5)}) > 1


def test_faults_are_named_one_by_one() -> None:
    """In the order given, each once, whatever the spaces."""
    assert parse("--faults", "flush-redis, kill-node,flush-redis").faults == ("flush-redis", "kill-node")
    assert parse("--faults", "all").faults == tuple(KINDS)


def test_twice_is_each_two() -> None:
    """The word that people use."""
    assert parse("--twice").each == parse("--each", "2").each == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--nodes", "0"), "from 1 to 20"),
        (("--nodes", "many"), "from 1 to 20"),
        (("--greetings", "9"), "from 10 to 1000000"),
        (("--seed", "-1"), "from 0 to"),
        (("--each", "0"), "from 1 to 100"),
        (("--faults", "kill-nodes"), "unknown 'kill-nodes'; the kinds are: kill-node"),
        (("--faults", ","), "unknown ','"),
        (("--twice", "--each", "3"), "not allowed with"),
        (("--servers", "somewhere"), "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what was expected."""
    with pytest.raises(SystemExit):
        parse(*words)

    assert expected in capsys.readouterr().err


def test_the_help_says_what_each_fault_does() -> None:
    """Nobody should have to read the code before choosing."""
    text = parser().format_help()

    assert [name for name, kind in KINDS.items() if f"  {name} " not in text or kind.does not in text] == []


def test_the_command_it_prints_asks_for_the_same() -> None:
    """It is copied to repeat a failure."""
    options = ChaosOptions(2, 300, 7, ("kill-node", "flush-redis"), each=3, servers="environment")

    words = options.command.split()[2:]

    assert parse(*words) == options


def test_the_commands_of_the_page_are_taken() -> None:
    """Readers copy them."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "rehearse.md"
    commands = re.findall(r"heyday chaos((?: +--[^#\n`]*)?)", page.read_text(encoding="utf-8"))

    taken = [parse(*words.split()) for words in commands if "--help" not in words]

    assert len(taken) >= 5
    assert {options.servers for options in taken} == {"embedded", "environment"}


def test_every_fault_says_what_it_does_and_what_recovery_means() -> None:
    """A name alone is no rehearsal plan."""
    assert len(KINDS) == 35
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.does
        assert kind.over_when
        assert kind.__doc__
