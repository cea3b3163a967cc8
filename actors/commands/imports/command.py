"""`heyday import`: sends users from CSV or NDJSON through the API, with the checks and planning of any other user."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from actors.commands.arguments import is_http, usable
from actors.commands.errors import CommandFailed, WrongUsage, WrongValue
from actors.commands.exit_codes import FAILED, OK
from actors.commands.imports.conversion import CannotConvert, Conversion, is_date_of_occasion, suggestions
from actors.commands.imports.options import FORMATS
from actors.commands.imports.refusals import Refusals
from actors.commands.imports.sending import ImportClient, NotBegun, chunks
from actors.commands.imports.source import Source, SourceRow, open_source
from actors.commands.output import printable
from actors.commands.progress import ProgressBar
from service.api.http.body import load
from service.api.http.json_text import encode
from service.api.http.problems import Problem
from service.api.representations.users import future_dates, loader
from service.domain.occasions import DEFAULTS
from service.environment import Environment, Secret, unquoted

MAX_KEY_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that can be sent."""

    row: SourceRow
    document: dict[str, object]
    line: bytes


@dataclass(slots=True)
class Done:
    """The results of an import so far.

    `line` is that of the last row that the API has answered: 0 before the first answer, None while nothing was sent.
    `unchecked` has the fields that a dry run could not check.
    """

    counts: Counter[str] = field(default_factory=Counter)
    line: int | None = None
    unchecked: set[str] = field(default_factory=set)


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Import, and return the exit code: 1 when a row was refused. An import that breaks off reports what it has done.

    Raises BadConfiguration, WrongUsage, CommandFailed.
    """
    kind = args.format or FORMATS.get(args.file.suffix.lower())
    if kind is None:
        raise WrongUsage("the end of the file's name tells no format: give --format csv or --format ndjson")
    if args.refused is not None and args.refused.resolve() == args.file.resolve():
        raise WrongValue(f"--refused {args.refused}: expected another file than the one to import")
    key = _key(args.key_file, environment)
    if not is_http(args.url) or any(mark in args.url for mark in "?#"):
        raise WrongValue(f"--url: expected http:// or https:// with the address of a node, not {args.url!r}")
    now = datetime.now(UTC)
    conversion = Conversion(args.map, date_format=args.date_format, zone_from=args.zone_from, now=now)
    with usable("", args.file):
        file = args.file.open("rb")
    done = Done()
    with file:
        try:
            _import(args, file, kind, key, conversion, now, done)
        except (CommandFailed, KeyboardInterrupt) as ended:
            if done.line is not None:
                _report(args, done, broken_off=True)
                if done.line or not isinstance(ended, NotBegun):
                    sys.stderr.write(_how_to_go_on(done.line, updates=args.on_conflict == "update"))
            raise
    _report(args, done)
    return FAILED if done.counts["refused"] else OK


def _import(
    args: argparse.Namespace,
    file: IO[bytes],
    kind: str,
    key: str | None,
    conversion: Conversion,
    now: datetime,
    done: Done,
) -> None:
    source = open_source(_read(args.file, file), kind)
    if source.columns:
        fields = conversion.fields_of(source.columns)
        used = {*fields, args.zone_from}
        if ignored := [column for column in source.columns if column not in used]:
            names = ", ".join(column for column in ignored if column)
            if names:
                sys.stderr.write(printable(f"columns that are no field, and are left out: {names}\n"))
            if meant := suggestions(ignored, fields.values()):
                words = " ".join(f"--map {shlex.quote(f'{column}={field}')}" for column, field in meant)
                sys.stderr.write(printable(f"perhaps you mean: {words}\n"))
    with (
        Refusals(args.refused, source) as refusals,
        ProgressBar("importing users", total=_lines_of(args.file)) as progress,
    ):
        ready = _converted(source, conversion, refusals, progress)
        try:
            if args.dry_run:
                done.counts["valid"] = sum(_is_valid(one, refusals, progress, now, done.unchecked) for one in ready)
            else:
                done.line = 0
                client = ImportClient(args.url, key, updates=args.on_conflict == "update")
                asyncio.run(_send(client, ready, refusals, progress, done))
        finally:
            done.counts["refused"] = refusals.count


def _read(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of the file. Raises CommandFailed."""
    try:
        yield from file
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error


def _converted(source: Source, conversion: Conversion, refusals: Refusals, progress: ProgressBar) -> Iterator[Ready]:
    """Yield the rows that can be sent, and refuse the others."""
    fields = conversion.fields_of(source.columns) if source.columns else None
    for row in source.rows:
        try:
            if row.cells is None:
                raise CannotConvert(row.reason)  # noqa: TRY301 - refused as one whose values are wrong
            of_row = conversion.fields_of_document(row.cells) if fields is None else fields
            document = conversion.document(row.cells, of_row)
            ready = Ready(row, document, encode(document) + b"\n")
        except CannotConvert as error:
            refusals.add(row, str(error))
        except TypeError:  # it can be read, but not be written again: for its file of refusals neither
            refusals.add(replace(row, cells=None), "expected values that are not nested as deep")
        else:
            yield ready
            continue
        progress.advance()


async def _send(
    client: ImportClient, ready: Iterator[Ready], refusals: Refusals, progress: ProgressBar, done: Done
) -> None:
    for part in chunks(ready):
        results = client.send([one.line for one in part])
        rows = iter(part)
        async for result in results:
            one = next(rows)
            progress.advance()
            if result.outcome == "refused":
                refusals.add(one.row, result.reason)
            else:
                done.counts[result.outcome] += 1
            done.line = one.row.line


def _is_valid(one: Ready, refusals: Refusals, progress: ProgressBar, now: datetime, unchecked: set[str]) -> bool:
    """Check a row by the API's rules that need no database. Adds its dates of other occasions to `unchecked`."""
    known = tuple(occasion.code for occasion in DEFAULTS)
    others = {field for field in one.document if is_date_of_occasion(field)}
    unchecked |= others
    core = {field: value for field, value in one.document.items() if field not in others}
    progress.advance()
    try:
        loaded = load(loader(known), core)
    except Problem as problem:
        refusals.add(one.row, " ".join(f"{error.field}: {error.message}" for error in problem.errors) or problem.detail)
        return False
    if errors := future_dates(loaded, known, loaded["timezone"], now):
        refusals.add(one.row, f"{errors[0].field}: {errors[0].message}")
        return False
    return True


def _key(path: Path | None, environment: Mapping[str, str]) -> Secret | None:
    if path is None:
        reader = Environment(environment)
        key = reader.secret("API_KEY", _one_key)
        reader.raise_errors()
        return key
    try:
        with usable("--key-file", path), path.open(encoding="utf-8-sig") as file:
            return _one_key(unquoted(file.read(MAX_KEY_CHARACTERS).strip()))
    except UnicodeDecodeError as error:
        raise WrongValue(f"--key-file {path}: expected text") from error
    except ValueError as error:
        raise WrongValue(f"--key-file {path}: expected {error}") from error


def _one_key(text: str) -> Secret:
    if len(text.split()) != 1 or not text.isprintable():
        raise ValueError("one key")
    return Secret(text)


def _lines_of(path: Path) -> int | None:
    """Estimate the number of rows. None if the input is no file on disk, such as a pipe."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def _how_to_go_on(line: int, *, updates: bool) -> str:
    """The sentences for an import that broke off. The API may have stored rows whose results were lost."""
    reached = f"The last row with a result is in line {line}." if line else "No row has a result."
    stored = "stay as they are" if updates else "are refused, because their addresses are taken"
    return f"{reached} Run the command again. Rows that are there already {stored}.\n"


def _report(args: argparse.Namespace, done: Done, *, broken_off: bool = False) -> None:
    counts, unchecked = done.counts, sorted(done.unchecked)
    names = ("valid", "refused") if args.dry_run else ("created", "updated", "unchanged", "refused")
    if args.json:
        content: dict[str, object] = {name: counts[name] for name in names}
        if args.dry_run:
            content["notChecked"] = unchecked
        if broken_off:
            content["upToLine"] = done.line
        sys.stdout.write(encode(content).decode() + "\n")
        return
    sys.stdout.write(", ".join(f"{counts[name]} {name}" for name in names) + "\n")
    if unchecked:
        sys.stdout.write(f"Not checked: {', '.join(unchecked)}: only the import knows the occasions.\n")
    if args.dry_run:
        sys.stdout.write(
            "Nothing was sent: this was a dry run. Only the import finds addresses and keys that are taken.\n"
        )
    if args.refused is not None and counts["refused"]:
        sys.stdout.write(f"The rows that were refused are in {args.refused}.\n")
