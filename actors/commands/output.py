"""The standard streams of a command: a full disk and a reader that has left are told apart from every other failure."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Escape control characters of a text from outside, so that they do nothing to a terminal."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def counted(number: int, one: str, many: str = "") -> str:
    """The number and the words for that many; by default `many` is `one` with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


class OutputFailed(BaseException):
    """Standard output cannot be written, for instance to a full disk. The message says why.

    It is no Exception, so that no command takes it for the failure of a server.
    """


class ReaderLeft(OutputFailed):
    """The reader of the pipe has read enough, as in `heyday preview | head`."""


class _Output(io.FileIO):
    """Standard output. Raises OutputFailed."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise ReaderLeft(error.strerror) from error
        except OSError as error:
            raise OutputFailed(f"standard output cannot be written: {error.strerror}") from error


class _Enduring(io.FileIO):
    """Standard error. What cannot be written is lost, and the work goes on."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Escapes as in JSON for what the encoding of the terminal does not have. So `--json` stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", errors="surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


_ESCAPING = "heyday.escaped"
codecs.register_error(_ESCAPING, _escaped)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Entered: standard output raises OutputFailed, and standard error nothing. Streams that were closed are empty.

    Streams that a test has put in their place stay as they are.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Enduring(2, "w", closefd=False), sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = (old if old is not None else new for old, new in zip(before, _present(), strict=True))


def discard_output() -> None:
    """Send what is left of standard output nowhere. Without this, Python would write it again at exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
    sys.stdout.flush()


def _open_closed() -> None:
    """Open standard streams that are closed, as by `>&-`. Else a connection to a server would take their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lasts as long as the process


def _present() -> tuple[TextIO, TextIO]:
    return sys.stdout, sys.stderr


def _text(raw: io.FileIO, like: TextIO | None) -> TextIO:
    """A text stream on `raw` with the encoding and the buffering of `like`."""
    if not isinstance(like, io.TextIOWrapper):  # it was closed
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    errors = like.errors if like is sys.stderr else _ESCAPING
    return io.TextIOWrapper(
        raw if like.write_through else io.BufferedWriter(raw),  # as `python -u` itself does
        encoding=like.encoding,
        errors=errors,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )
