"""Types of arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from actors.commands.errors import CommandFailed, WrongValue


def instant(text: str) -> datetime:
    """Parse `2026-12-10T09:00:00Z`, with any offset, or `2026-12-10`, which is midnight in UTC."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None and len(text) == len("2026-12-10"):
            found = found.replace(tzinfo=UTC)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected an instant such as 2026-12-10T09:00:00Z or 2026-12-10, not {text!r}")


def refuse_reversed(args: argparse.Namespace) -> None:
    """Raise WrongValue if --to is not after --from, and both are given."""
    if args.starts_at and args.ends_at and args.ends_at <= args.starts_at:
        raise WrongValue("--to: expected an instant after --from")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Make a type for whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, not {text!r}")

    return parse


def identifier(text: str) -> UUID:
    """Parse the id of a user, a message or a hold."""
    try:
        return UUID(text)
    except ValueError:
        expected = "an id such as 01a22f44-155d-7efd-9c53-d829a4ad92f4"
        raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}") from None


def id_or_address(text: str) -> UUID | str:
    """Parse the id of a user. An email address stays as it is: `user_id` looks it up."""
    if "@" in text:
        return text
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected the id of a user (a UUID) or an email address, not {text!r}; "
            "`heyday call '/api/v1/users?q=NAME'` finds users by a part of the name"
        ) from None


async def user_id(user: UUID | str, of_address: Callable[[str], Awaitable[UUID | None]]) -> UUID:
    """The id of a user who is given by it, or by the address of a user who is not deleted.

    Raises CommandFailed when no user has the address.
    """
    if isinstance(user, UUID):
        return user
    if (found := await of_address(user)) is None:
        raise CommandFailed(f"no user has the address {user}; search for a deleted user by id")
    return found


@contextmanager
def usable(argument: str, path: Path) -> Iterator[None]:
    """Raise WrongValue, which names the argument, for a path that the body cannot open or make."""
    try:
        yield
    except OSError as error:
        raise WrongValue(f"{argument} {path}: {error.strerror}".lstrip()) from error


def is_http(url: str) -> bool:
    """True for a URL of HTTP or HTTPS with a host, and with a port from 1 to 65535 if it names one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
