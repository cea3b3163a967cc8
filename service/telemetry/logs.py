"""Structured logs: an event name and fields, as JSON lines or for a console, third-party loggers included.

A line of ours has its level checked before anything else is done; the level may be changed while the process runs.
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
from service.telemetry.failures import chain, written

_QUIET = {
    # They repeat at info and warning what the adapters say once as an outage: silent unless somebody debugs.
    "aio_pika": logging.ERROR,
    "aiohttp": logging.ERROR,
    "asyncio": logging.ERROR,
    "aiormq": logging.ERROR,
    "opentelemetry.exporter": logging.CRITICAL,
    "opentelemetry.sdk._shared_internal": logging.ERROR,
}
_NEVER_IN_DETAIL = ("aiormq.connection",)
"""Loggers that write out every frame, the one with the password included."""

_now = logging.INFO
"""The level of the process: what is below it is not said."""

_configured = logging.INFO

_write_together: Callable[[str, Iterable[Mapping[str, Any]]], None] | None = None


class Logger(structlog.BoundLoggerBase):
    """Ours: a call below the level costs a comparison."""

    def debug(self, event: str, **fields: Any) -> None:
        if _now <= logging.DEBUG:
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        if _now <= logging.INFO:
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if _now <= logging.WARNING:
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        if _now <= logging.ERROR:
            self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self.error(event, **{"exc_info": True, **fields})

    def critical(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("critical", event, **fields)


class _Enduring:
    """A stream whose reader may go away: what cannot be said then is lost, and no request or drain with it."""

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
    **fields: str,
) -> None:
    """Send every log line to `stream` (standard error by default); `fields` are on each of them, and what `ids` says.

    The one place in which heyday changes the state of the process: called once, by the command line.
    """
    global _configured, _write_together
    structlog.contextvars.bind_contextvars(**fields)
    stream = cast("TextIO", _Enduring(stream or sys.stderr))
    failure, render = (_as_document, _document) if form == "json" else (_as_text, _console())
    ending: list[structlog.typing.Processor] = [failure, render]
    shared: tuple[structlog.typing.Processor, ...] = _SHARED if ids is None else (partial(_identify, ids), *_SHARED)
    # Our own lines are written as they are; the way through `logging` would cost three times as much, for each request.
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
    _write_together = partial(_written_together, render, stream)
    _configured = logging.getLevelNamesMapping()[level.upper()]
    _set(_configured)


def say_together(method: str, events: Iterable[Mapping[str, Any]]) -> None:
    """Say many things that happened at one moment, each a line with its `event` and fields and none with an exception.

    They share their timestamp and are written at once: a fifth of what as many calls of a logger cost, which counts
    where it is done for every greeting.
    """
    if _now > getattr(logging, method.upper()):
        return
    if _write_together is not None:
        _write_together(method, events)
    else:  # nobody has configured anything: a test, or somebody's own program
        log = structlog.get_logger(__name__)
        for event in events:
            getattr(log, method)(**event)


def _written_together(
    render: structlog.typing.Processor, stream: TextIO, method: str, events: Iterable[Mapping[str, Any]]
) -> None:
    shared: structlog.typing.EventDict = {}
    for processor in _SHARED:
        shared = processor(None, method, shared)  # type: ignore[assignment]  # those that end in a text come later
    stream.write("".join(str(render(None, method, {**event, **shared})) + "\n" for event in events))
    stream.flush()


def toggle_debug() -> None:
    """Say everything from now on, or again what was configured."""
    _set(logging.DEBUG if _now != logging.DEBUG else _configured)
    structlog.get_logger(__name__).critical("log_level_changed", to=logging.getLevelName(_now).lower())


def _set(level: int) -> None:
    global _now
    _now = level
    logging.getLogger().setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least if level != logging.DEBUG else level)
    for name in _NEVER_IN_DETAIL:
        logging.getLogger(name).setLevel(max(level, logging.INFO) if level == logging.DEBUG else logging.NOTSET)


def nobody_handled(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """What the event loop does with a failure that nobody has waited for: its own way quotes it in a sentence."""
    structlog.get_logger(__name__).error(
        "nobody_handled", what=str(context.get("message")), exc_info=context.get("exception")
    )


def _identify(
    ids: Callable[[], Mapping[str, str]],
    _logger: structlog.typing.WrappedLogger,
    _method: str,
    event: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    """What is said during a piece of work that is traced leads to its trace."""
    event.update(ids())
    return event


def _hide_secrets(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A secret is a string, and the console would write it out as one."""
    for name, value in event.items():
        if isinstance(value, Secret):
            event[name] = "***"
    return event


_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    _hide_secrets,
)


def _as_document(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Without the values of variables and without texts that quote somebody: see service.telemetry.failures."""
    if (error := _failure_of(event)) is not None:
        event["exception"] = chain(error)
    return event


def _as_text(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if (error := _failure_of(event)) is not None:
        event["exception"] = written(error)
    return event


def _failure_of(event: structlog.typing.EventDict) -> BaseException | None:
    found = event.pop("exc_info", None)
    if isinstance(found, tuple):
        found = found[1]
    if found and not isinstance(found, BaseException):
        found = sys.exc_info()[1]
    return found or None


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _document(_logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict) -> str:
    try:
        return orjson.dumps(event, default=_plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        # Text that is no Unicode and numbers beyond 64 bits, of other people's loggers: slower, but not lost.
        return json.dumps(
            {name: value if isinstance(value, str | int | float) else repr(value) for name, value in event.items()}
        )


def _plain(value: Any) -> Any:
    """What the serialiser does not write itself: other kinds of objects, and subclasses, for secrets are one."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else str(value)
