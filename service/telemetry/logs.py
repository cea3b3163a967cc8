"""Structured logs: an event name and fields, as JSON lines or for a console, including third-party loggers.

heyday's own lines check their level before any other work. The level may change while the process runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TextIO, cast

import orjson
import structlog

from service.settings import Secret
from service.telemetry.failures import as_dicts, as_text

_QUIET = {
    # The adapters log an outage once. These loggers repeat it at info and warning, so they are silent except in debug.
    "aio_pika": logging.ERROR,
    "aiohttp": logging.ERROR,
    "asyncio": logging.ERROR,
    # It logs each failed attempt to connect as two errors.
    "aiormq": logging.CRITICAL,
    "opentelemetry.exporter": logging.CRITICAL,
    "opentelemetry.sdk._shared_internal": logging.ERROR,
}
_NEVER_DEBUG = ("aiormq.connection",)
"""Loggers that would write every frame, including the one with the password."""

_level = logging.INFO
"""The level of the process."""

_configured = logging.INFO

_write_batch: Callable[[str, Iterable[Mapping[str, Any]]], None] | None = None

_fields: dict[str, str] = {}
"""The fields of every line. Not context variables: each task has a copy of those, so no task could change them."""


class Logger(structlog.BoundLoggerBase):
    """The logger of heyday: a call below the level costs one comparison."""

    def debug(self, event: str, **fields: Any) -> None:
        if _level <= logging.DEBUG:
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        if _level <= logging.INFO:
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if _level <= logging.WARNING:
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        if _level <= logging.ERROR:
            self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self.error(event, **{"exc_info": True, **fields})

    def critical(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("critical", event, **fields)


class _Enduring:
    """A stream whose reader may disappear. Lines are lost then, and requests and drains continue."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(
    level: str,
    form: str,
    *,
    stream: TextIO | None = None,
    ids: Callable[[], Mapping[str, str]] | None = None,
    colors: bool = False,
    **fields: str,
) -> None:
    """Send every log line to `stream` (default: standard error), each with `fields` and with the result of `ids`.

    `colors` has an effect on the form `console` only.

    It changes the state of the process, so only the command line calls it, once.
    """
    global _configured, _write_batch
    _fields.clear()
    _fields.update(fields)
    stream = cast("TextIO", _Enduring(stream or sys.stderr))
    failure, render = (_as_document, _document) if form == "json" else (_as_text, _console(colors=colors))
    ending: list[structlog.typing.Processor] = [failure, render]
    shared: tuple[structlog.typing.Processor, ...] = _SHARED if ids is None else (partial(_identify, ids), *_SHARED)
    # heyday's own lines do not pass through `logging`, which would cost three times as much for each request.
    structlog.configure(
        processors=[*shared, *ending],
        logger_factory=structlog.WriteLoggerFactory(stream),
        wrapper_class=Logger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.getLogger().handlers[:] = [handler]
    _write_batch = partial(_write_lines, render, stream)
    _configured = logging.getLevelNamesMapping()[level.upper()]
    _set(_configured)


def log_batch(method: str, events: Iterable[Mapping[str, Any]]) -> None:
    """Log events of one moment, each as a line with its `event` and fields, none with an exception.

    They share one timestamp and one write. That costs a fifth of single calls, which matters for every greeting.
    """
    if _level > getattr(logging, method.upper()):
        return
    if _write_batch is not None:
        _write_batch(method, events)
    else:  # not configured: a test, or a program that imports heyday
        log = structlog.get_logger(__name__)
        for event in events:
            getattr(log, method)(**event)


def _write_lines(
    render: structlog.typing.Processor, stream: TextIO, method: str, events: Iterable[Mapping[str, Any]]
) -> None:
    shared: structlog.typing.EventDict = {}
    for processor in _SHARED:
        shared = processor(None, method, shared)  # type: ignore[assignment]  # the processors that return text come later
    stream.write("".join(str(render(None, method, {**event, **shared})) + "\n" for event in events))
    stream.flush()


def toggle_debug() -> None:
    """Switch to debug, or back to the configured level."""
    _set(logging.DEBUG if _level != logging.DEBUG else _configured)
    structlog.get_logger(__name__).critical("log_level_changed", to=logging.getLevelName(_level).lower())


def use_fields(**fields: str) -> None:
    """Write these values into every line from now on, where `configure` was given the field."""
    _fields.update((name, value) for name, value in fields.items() if name in _fields)


def use_level(level: str) -> None:
    """Use another configured level from now on: `debug`, `info`, `warning` or `error`."""
    global _configured
    _configured = logging.getLevelNamesMapping()[level.upper()]
    _set(_configured)


def _set(level: int) -> None:
    global _level
    _level = level
    logging.getLogger().setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least if level != logging.DEBUG else level)
    for name in _NEVER_DEBUG:
        logging.getLogger(name).setLevel(max(level, logging.INFO) if level == logging.DEBUG else logging.NOTSET)


def log_unhandled(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log an exception that no task awaited. The event loop's own handler would quote its text."""
    structlog.get_logger(__name__).error(
        "exception_unhandled", what=str(context.get("message")), exc_info=context.get("exception")
    )


def _identify(
    ids: Callable[[], Mapping[str, str]],
    _logger: structlog.typing.WrappedLogger,
    _method: str,
    event: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    """Add the ids of the current span."""
    event.update(ids())
    return event


def _add_fields(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the fields of every line."""
    for name, value in _fields.items():
        event.setdefault(name, value)
    return event


def _hide_secrets(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Hide secrets, which the console renderer would write as strings."""
    for name, value in event.items():
        if isinstance(value, Secret):
            event[name] = "***"
    return event


_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    _add_fields,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    _hide_secrets,
)


def _as_document(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Render an exception without the values of variables and without personal data (service.telemetry.failures)."""
    if (error := _failure_of(event)) is not None:
        event["exception"] = as_dicts(error)
    return event


def _as_text(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if (error := _failure_of(event)) is not None:
        event["exception"] = as_text(error)
    return event


def _failure_of(event: structlog.typing.EventDict) -> BaseException | None:
    found = event.pop("exc_info", None)
    if isinstance(found, tuple):
        found = found[1]
    if found and not isinstance(found, BaseException):
        found = sys.exc_info()[1]
    return found or None


def _console(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _document(_logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict) -> str:
    try:
        return orjson.dumps(event, default=_plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        # Third-party loggers may send invalid Unicode and numbers beyond 64 bits: this is slower, but loses nothing.
        return json.dumps(
            {name: value if isinstance(value, str | int | float) else repr(value) for name, value in event.items()}
        )


def _plain(value: Any) -> Any:
    """Convert what the serializer refuses: other objects, and subclasses, because a secret is one."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else str(value)
