"""Exceptions in logs, without personal data: always kind and frames, the text only if it is safe.

The text of an exception often quotes its subject: PostgreSQL quotes rows ("Failing row contains …"), a KeyError its
key, a ValueError the value. So a text is shown only if the exception is heyday's own, or of a kind that speaks about
servers and code. For other exceptions the log has the kind, and the fields that PostgreSQL gives beside its text.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator
from typing import Any

_OUR_OWN = ("actors.", "service.", "schema.")
"""Packages whose errors never quote a user."""

_OF_REQUESTS = "service.api."
"""The exception: errors of this package answer a request and quote it."""

_ABOUT_SERVERS = ("aio_pika.", "aiormq.", "pamqp.", "redis.")
"""Packages whose errors repeat the words of a server that has ids only."""

_ABOUT_CODE = (AttributeError, ImportError, NameError, OSError)
"""Built-in kinds whose texts name network addresses, files and names in the code."""

_OF_POSTGRES = ("sqlstate", "schema_name", "table_name", "column_name", "constraint_name")

MAX_FRAMES = 50
"""Frames of one exception in a log line. Of more, the outermost and the innermost are kept."""


def safe_text(error: BaseException) -> str:
    """The text of an exception if it is safe, else the fields of PostgreSQL; may be empty."""
    module = type(error).__module__
    of_ours = module.startswith(_OUR_OWN) and not module.startswith(_OF_REQUESTS)
    if of_ours or module.startswith(_ABOUT_SERVERS) or isinstance(error, _ABOUT_CODE):
        return str(error)
    facts = ((name, getattr(error, name, None)) for name in _OF_POSTGRES)
    return ", ".join(f"{name} {value}" for name, value in facts if isinstance(value, str))


def summary(error: BaseException) -> str:
    """One line: the kind and the safe text."""
    text = safe_text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def as_dicts(error: BaseException) -> list[dict[str, Any]]:
    """The exception and its causes, the last one first, each with kind, safe text and frames."""
    return _as_dicts(error, set())


def as_text(error: BaseException) -> str:
    """The same for a person, in the order and the format of the interpreter."""
    return _as_text(error, set())


def _with_causes(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """The exception and its causes without those seen: an exception can be a cause of itself, also through a group."""
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _as_dicts(error: BaseException, seen: set[int]) -> list[dict[str, Any]]:
    return [_as_dict(one, seen) for one in list(_with_causes(error, seen))]


def _as_dict(error: BaseException, seen: set[int]) -> dict[str, Any]:
    within = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    inner = [dicts for one in within if (dicts := _as_dicts(one, seen))]
    return {
        "exc_type": type(error).__name__,
        "exc_value": safe_text(error),
        "frames": [{"filename": file, "lineno": line, "name": name} for file, line, name in _frames(error)],
        **({"exceptions": inner} if inner else {}),
    }


def _as_text(error: BaseException, seen: set[int]) -> str:
    return "\n\n".join(_text_of_one(one, seen) for one in reversed(list(_with_causes(error, seen))))


def _text_of_one(error: BaseException, seen: set[int]) -> str:
    lines = ["Traceback (most recent call last):"]
    for file, line, name in _frames(error):
        lines += [f'  File "{file}", line {line}, in {name}', f"    {linecache.getline(file, line).strip()}"]
    lines.append(summary(error))
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  {line}" for one in error.exceptions for line in _as_text(one, seen).splitlines()]
    return "\n".join(lines)


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    frames = [
        (frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    half = MAX_FRAMES // 2
    return frames if len(frames) <= MAX_FRAMES else [*frames[:half], *frames[-half:]]
