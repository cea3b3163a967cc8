"""The command line `heyday`: parses the arguments, runs one command, and turns its failures into exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from actors.commands.errors import CommandFailed, WrongUsage, WrongValue
from actors.commands.exit_codes import FAILED, OK, WRONG_USAGE
from actors.commands.output import OutputFailed, ReaderLeft, discard_output, standard_streams
from actors.commands.registry import COMMANDS, parser_for
from service.domain.texts import is_unicode
from service.environment import BadConfiguration


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` name, by default those of the process, and return its exit code.

    Raises SystemExit after `--help`, `--version` and wrong arguments, as argparse does.
    """
    with standard_streams():
        try:
            try:
                return _run(sys.argv[1:] if arguments is None else arguments)
            finally:
                sys.stdout.flush()
        except ReaderLeft:
            discard_output()
            return OK
        except OutputFailed as failure:
            discard_output()
            _say(str(failure))
            return FAILED
        except KeyboardInterrupt:
            _say("interrupted: what was done until now stays done")
            return 128 + signal.SIGINT


def _run(words: list[str]) -> int:
    try:
        args, unknown = parser_for(words).parse_known_args(words)
    except ModuleNotFoundError as error:
        return _lacks(error, *(word for word in words if word in COMMANDS))
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if (garbled := _garbled(args)) is not None:
        args.parser.error(f"expected arguments in the encoding of this terminal, not {garbled!a}")
    name: str = args.command
    try:
        code: int = import_module(COMMANDS[name].module).run(args, os.environ)
    except WrongValue as mistake:
        args.parser.refuse(str(mistake))
    except WrongUsage as mistake:
        args.parser.error(str(mistake))
    except BadConfiguration as error:
        _say("the configuration has mistakes:", *error.errors)
        return WRONG_USAGE
    except CommandFailed as failure:
        _say(str(failure))
        return FAILED
    except ModuleNotFoundError as error:
        return _lacks(error, name)
    except Exception as error:
        if (sentence := _sentence(error)) is None:
            raise
        _say(sentence)
        return FAILED
    return code


def _sentence(error: Exception) -> str | None:
    """The sentence for an error that is no fault of heyday; None for a bug."""
    # Imported here, because most commands do not need it and it takes a while.
    from service.domain.zones import TZDATA_VERSION, UnknownZone
    from service.ports import Unavailable

    match error:
        case Unavailable():
            return str(error)
        case UnknownZone():  # a node with newer zone data stored it, or a person
            return f"the zone data of this installation, {TZDATA_VERSION}, has no zone {error.name!r}"
        case OSError(filename=str() | Path() as file, strerror=str()):
            return f"{file}: {error.strerror}"
    return None


def _garbled(args: argparse.Namespace) -> str | None:
    """An argument with bytes that are no text. Paths are no strings here, and may have such bytes."""
    words = [word for value in vars(args).values() for word in (value if isinstance(value, list) else [value])]
    return next((word for word in words if isinstance(word, str) and not is_unicode(word)), None)


def _lacks(error: ModuleNotFoundError, *names: str) -> int:
    """Say which extra the first of these commands that has one needs. Raises the error if none has one."""
    for name in names:
        if (extra := COMMANDS[name].extra) is not None:
            # Not `pip install heyday[…]`: heyday is in no index, and that name may be another's there.
            _say(f"{name} needs the package {error.name}: install heyday again, as WHEEL[{extra}] or .[{extra}]")
            return FAILED
    raise error


def _say(*lines: str) -> None:
    sys.stderr.write("heyday: " + "\n  ".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
