"""The arguments of `heyday import`."""

from __future__ import annotations

import argparse
from pathlib import Path

from actors.commands.imports.conversion import DateFormat

FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson"}
"""Formats by the end of a file's name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", type=Path, help="CSV with a header, or a JSON object a line; UTF-8")
    parser.add_argument(
        "--format", choices=sorted(set(FORMATS.values())), help="default: by the end of the file's name"
    )
    parser.add_argument(
        "--map",
        metavar="COLUMN=FIELD",
        type=_mapping,
        action="append",
        default=[],
        help="the field of the API that a column is, such as Vorname=firstName; may be repeated",
    )
    parser.add_argument(
        "--date-format", metavar="FORMAT", type=_date_format, help="of dates: DD.MM.YYYY, MM/DD or %%d.%%m.%%Y"
    )
    parser.add_argument(
        "--zone-from", metavar="COLUMN", help="column with a country, for rows without a time zone: DE, Germany"
    )
    parser.add_argument(
        "--on-conflict",
        choices=("refuse", "update"),
        default="refuse",
        help="with a user who has the row's externalId or address; default: %(default)s",
    )
    parser.add_argument("--dry-run", action="store_true", help="check every row here; send nothing")
    parser.add_argument(
        "--refused", metavar="FILE", type=Path, help="write the rows that were refused, with the reason"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="address of a node's API; default: %(default)s")
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        type=Path,
        help="file with the API key; default: the variable HEYDAY_API_KEY, or HEYDAY_API_KEY_FILE",
    )
    parser.add_argument("--json", action="store_true", help="write the counts as JSON")


def _mapping(text: str) -> tuple[str, str]:
    column, equals, field = text.rpartition("=")
    if not (column and equals and field):
        raise argparse.ArgumentTypeError(f"expected COLUMN=FIELD, not {text!r}")
    return column, field


def _date_format(text: str) -> DateFormat:
    try:
        return DateFormat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
