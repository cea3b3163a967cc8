"""What may be told of an exception: its kind and where it came from always, its text only where that quotes nobody.

The text of an exception often repeats what it was raised about: PostgreSQL's quotes rows ("Failing row contains …"), a
KeyError its key, a ValueError the value. So a text is shown only if it is one of our own, or of a kind whose texts
are about servers and code; of everything else the kind, and what PostgreSQL says beside its text.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator
from typing import Any

_OUR_OWN = ("actors.", "service.", "schema.")
"""Packages whose errors say what is the case, and never about whom."""

_OF_REQUESTS = "actors.api."
"""But the errors of this one answer a request, and quote it."""

_ABOUT_SERVERS = ("aio_pika.", "aiormq.", "pamqp.", "redis.")
"""Packages whose errors repeat what a server said that knows ids only."""

_ABOUT_CODE = (AttributeError, ImportError, NameError, OSError)
"""Kinds of the interpreter's own, which name addresses, files and names in the code."""

_OF_POSTGRES = ("sqlstate", "schema_name", "table_name", "column_name", "constraint_name")

MOST_FRAMES = 50
"""Frames of one exception that are told; of more, the outermost and the innermost."""


def told(error: BaseException) -> str:
    """Its text if that may be told, else what is known beside it; may be empty."""
    module = type(error).__module__
    of_ours = module.startswith(_OUR_OWN) and not module.startswith(_OF_REQUESTS)
    if of_ours or module.startswith(_ABOUT_SERVERS) or isinstance(error, _ABOUT_CODE):
        return str(error)
    facts = ((name, getattr(error, name, None)) for name in _OF_POSTGRES)
    return ", ".join(f"{name} {value}" for name, value in facts if isinstance(value, str))


def summary(error: BaseException) -> str:
    """One line: the kind, and what may be told."""
    text = told(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def chain(error: BaseException) -> list[dict[str, Any]]:
    """The exception and those that led to it, the last first, each with kind, text and frames, as a document."""
    return [_document(one) for one in _led_to(error)]


def written(error: BaseException) -> str:
    """The same for a person, in the order and the manner of the interpreter."""
    return "\n\n".join(_written(one) for one in reversed(list(_led_to(error))))


def _led_to(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        yield following
        seen.add(id(following))
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _document(error: BaseException) -> dict[str, Any]:
    within = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return {
        "exc_type": type(error).__name__,
        "exc_value": told(error),
        "frames": [{"filename": file, "lineno": line, "name": name} for file, line, name in _frames(error)],
        **({"exceptions": [chain(one) for one in within]} if within else {}),
    }


def _written(error: BaseException) -> str:
    lines = ["Traceback (most recent call last):"]
    for file, line, name in _frames(error):
        lines += [f'  File "{file}", line {line}, in {name}', f"    {linecache.getline(file, line).strip()}"]
    lines.append(summary(error))
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  {line}" for one in error.exceptions for line in written(one).splitlines()]
    return "\n".join(lines)


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    frames = [
        (frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    half = MOST_FRAMES // 2
    return frames if len(frames) <= MOST_FRAMES else [*frames[:half], *frames[-half:]]
