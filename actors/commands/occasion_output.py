"""The lines and the JSON by which `heyday occasions` shows an occasion, also one that nodes cannot use as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from actors.commands.output import counted
from service.api.representations.occasions import OccasionDetailsAnswer
from service.domain.calendar import Weekend
from service.domain.occasions import Occasion, OccasionProblem
from service.ports import OccasionEntry

DEFAULT = "default"
"""The word for a rule that the cluster's defaults decide, and for the text without a language."""


def listed(
    entries: Iterable[OccasionEntry], problems: Iterable[OccasionProblem]
) -> Iterator[tuple[str, OccasionEntry | None, list[OccasionProblem]]]:
    """Each occasion with its problems, in the order of the codes. Without an entry, its row cannot be read."""
    by_code = {entry.occasion.code: entry for entry in entries}
    of_code: dict[str, list[OccasionProblem]] = {}
    for problem in problems:
        of_code.setdefault(problem.code, []).append(problem)
    for code in sorted({*by_code, *of_code}):
        yield code, by_code.get(code), of_code.get(code, [])


def as_json(code: str, entry: OccasionEntry | None, problems: Sequence[OccasionProblem]) -> dict[str, Any]:
    """The occasion as the API shows it, with its problems. Without an entry: the code and the problems."""
    return {
        **({"code": code} if entry is None else OccasionDetailsAnswer.json(entry)),
        "leftOut": any(one.left_out for one in problems),
        "problems": [one.shown for one in problems],
    }


def line(code: str, entry: OccasionEntry | None, problems: Sequence[OccasionProblem]) -> str:
    """The occasion in one line, and a line for each of its problems."""
    shown = "cannot be read" if entry is None else f"{_rules(entry.occasion)}  {entry.occasion.default.text}"
    return "\n".join([f"{code}  {shown}", *_marks(problems)])


def page(entry: OccasionEntry, problems: Sequence[OccasionProblem] = ()) -> str:
    """The occasion with its rules, all texts and all problems."""
    one = entry.occasion
    lines = [f"{one.code}, {_rules(one)}, text version {entry.text_version}", *_marks(problems)]
    for language, text in ((DEFAULT, one.default), *sorted(one.texts.items())):
        lines.append(f"  {language}: {text.text}")
        if text.without_years is not None:
            lines.append(f"    without years: {text.without_years}")
        if text.subject is not None:
            lines.append(f"    subject: {text.subject}")
    return "\n".join(lines)


def _marks(problems: Sequence[OccasionProblem]) -> list[str]:
    return [f"  ERROR {one}" for one in problems]


def _rules(one: Occasion) -> str:
    rules = [] if one.active else ["inactive"]
    rules.append(f"at {one.send_at:%H:%M:%S}" if one.send_at else f"at the {DEFAULT} time")
    if one.leap_day is not None:
        rules.append(f"29 February: {one.leap_day}")
    if one.offset_days:
        rules.append(f"{counted(abs(one.offset_days), 'day')} {'before' if one.offset_days < 0 else 'after'}")
    if one.weekend is not Weekend.KEEP:
        rules.append(f"weekend: {one.weekend}")
    return ", ".join(rules)
