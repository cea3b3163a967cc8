"""The arguments of `heyday chaos`: every mistake is reported before anything is started."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from actors.commands.chaos.faults import KINDS
from actors.commands.chaos.options import ChaosOptions, add_arguments, options_from


def parser() -> argparse.ArgumentParser:
    """The parser of the command."""
    made = argparse.ArgumentParser()
    add_arguments(made)
    return made


def parse(*words: str) -> ChaosOptions:
    """Parse a command line."""
    return options_from(parser().parse_args(words))


def test_without_arguments_every_fault_is_injected_once_on_three_nodes() -> None:
    """The shortest command is a complete rehearsal."""
    options = parse()

    assert (options.nodes, options.greetings, options.each, options.servers) == (3, 2000, 1, "embedded")
    assert options.faults == tuple(KINDS)


def test_a_seed_is_drawn_where_none_is_given() -> None:
    """A nightly job has a new sequence each time."""
    assert len({parse().seed for _ in range(5)}) > 1


def test_faults_are_named_one_by_one() -> None:
    """The order is kept. Spaces and repetitions have no effect."""
    assert parse("--faults", "flush-redis, kill-node,flush-redis").faults == ("flush-redis", "kill-node")
    assert parse("--faults", "all").faults == tuple(KINDS)


def test_twice_is_each_two() -> None:
    """It is a short form."""
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
def test_invalid_arguments_are_refused(
    words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what was expected."""
    with pytest.raises(SystemExit):
        parse(*words)

    assert expected in capsys.readouterr().err


def test_the_help_says_what_each_fault_does() -> None:
    """A user chooses kinds from the help."""
    text = parser().format_help()

    assert [name for name, kind in KINDS.items() if f"  {name} " not in text or kind.does not in text] == []


def test_the_printed_command_repeats_the_options() -> None:
    """A user copies it to repeat a failure."""
    options = ChaosOptions(2, 300, 7, ("kill-node", "flush-redis"), each=3, servers="environment")

    words = options.command.split()[2:]

    assert parse(*words) == options


def test_the_commands_of_the_page_are_valid() -> None:
    """Readers copy them."""
    page = Path(__file__).parents[4] / "docs" / "how-to" / "rehearse.md"
    commands = re.findall(r"heyday chaos((?: +--[^#\n`]*)?)", page.read_text(encoding="utf-8"))

    taken = [parse(*words.split()) for words in commands if "--help" not in words]

    assert len(taken) >= 5
    assert {options.servers for options in taken} == {"embedded", "environment"}


def test_every_fault_says_what_it_does_and_what_recovery_means() -> None:
    """The name alone does not explain a fault."""
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.does
        assert kind.recovery
        assert kind.__doc__
