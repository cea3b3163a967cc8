"""The arguments of the demo, and the settings of its node."""

from __future__ import annotations

import argparse

import pytest

from actors.commands.demo.options import FIRST_BACKOFF, DemoOptions, add_arguments, environment, options_from
from service.settings import read


def parse(*words: str) -> DemoOptions:
    """Parse a command line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return options_from(parser.parse_args(words))


def test_without_arguments_a_day_takes_a_minute_and_the_demo_continues() -> None:
    """These are the defaults of `make demo`."""
    assert parse() == DemoOptions(users=300, seconds_per_day=60.0, once=False, port=None, fresh=False)


@pytest.mark.parametrize(
    "words",
    [
        ("--users", "0"),
        ("--users", "many"),
        ("--users", "20001"),
        ("--seconds-per-day", "4.9"),
        ("--seconds-per-day", "nan"),
        ("--port", "0"),
        ("--port", "65536"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what was expected. Nothing is started."""
    with pytest.raises(SystemExit):
        parse(*words)

    assert "expected a number from" in capsys.readouterr().err


@pytest.mark.parametrize("seconds_per_day", [5.0, 7.3, 60.0, 86_400.0])
def test_the_settings_of_the_node_are_valid_at_any_speed(seconds_per_day: float) -> None:
    """Durations that the node counts in business time are converted, and valid for the parser of settings."""
    options = DemoOptions(seconds_per_day=seconds_per_day)

    settings = read(
        environment(options, database="postgresql://h/d", redis="redis://h", email="http://127.0.0.1:1", port=1234)
    )

    real_seconds = settings.email_backoff.total_seconds() / options.rate
    assert real_seconds == pytest.approx(FIRST_BACKOFF, abs=0.01)
    assert (settings.bind_host, settings.bind_port, settings.rabbitmq_url) == ("127.0.0.1", 1234, None)
