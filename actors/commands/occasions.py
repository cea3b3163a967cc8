"""`heyday occasions`: reads and writes the days, rules and texts, with the same checks as the API."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import time
from typing import Any

from marshmallow import ValidationError, fields

from actors.commands.arguments import id_or_address, user_id
from actors.commands.errors import CommandFailed, WrongUsage, WrongValue
from actors.commands.exit_codes import FAILED, OK
from actors.commands.occasion_output import DEFAULT, as_json, line, listed, page
from actors.commands.output import printable
from actors.commands.principal import command_line
from service.adapters.postgres.audit import PostgresAuditLog
from service.adapters.postgres.connection import Database
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.planning import LATE_LIMIT, PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.suppressions import PostgresSuppressions
from service.adapters.postgres.users import PostgresUsers
from service.api.http.fields import EmailAddress, WholeNumber
from service.api.http.fields import Text as NameText
from service.api.http.json_text import encode
from service.api.representations.occasions import OccasionDetailsAnswer, RenderedTextAnswer, TimeOfDay, test_send_json
from service.domain.calendar import LeapDay, Weekend
from service.domain.languages import language_tag, suggest_tag
from service.domain.messages import EmailServiceName, Outcome
from service.domain.occasions import DEFAULT_SUBJECT, MOST_OCCASIONS, Occasion
from service.domain.suppressions import may_write_to
from service.domain.texts import Text
from service.domain.users import email_key
from service.domain.zones import TZDATA_VERSION, zone
from service.ports import AuditAction, OccasionChanged, OccasionEntry, RowRefused, TooManyOccasions
from service.rendering import MAX_YEARS, Recipient, greeting_for_test, recipient_of, rendered
from service.settings import Secret, Settings, read, read_database_url

_VALID = Text(DEFAULT_SUBJECT, "{years}", without_years="Hey")
"""Stands for the texts of a row that has not been read: a mistake in what is set is one beside any text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their arguments."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    _json(actions.add_parser("list", help="list the occasions"))
    show = _json(actions.add_parser("show", help="show an occasion with its rules and all texts"))
    show.add_argument("code", metavar="CODE")
    _add_set(_json(actions.add_parser("set", help="create or change an occasion; other options keep their values")))
    render = _json(actions.add_parser("render", help="show subject and text in every language"))
    _add_recipient(render)
    test = _json(actions.add_parser("test-send", help="send the text once to an address, beside the yearly greetings"))
    _add_recipient(test)
    test.add_argument("--to", metavar="ADDRESS", type=_address, required=True, help="where to send it")
    test.add_argument(
        "--service",
        choices=[one.value for one in EmailServiceName],
        default=EmailServiceName.PRIMARY.value,
        help="by which email service (default: primary)",
    )


def _json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="write JSON, as the API does")
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE")
    parser.add_argument("--text", help="the text; {full_name}, {first_name}, {last_name} and {years} are replaced")
    parser.add_argument("--text-without-years", metavar="TEXT", help="the text for dates whose year is unknown")
    parser.add_argument("--subject", help="for email services that send one")
    parser.add_argument("--language", metavar="TAG", type=_language, help="the language of these texts, such as de-AT")
    parser.add_argument("--remove-language", metavar="TAG", type=_language, help="remove the texts of a language")
    parser.add_argument("--send-at", metavar="HH:MM", type=_time, help=f"local time of day, or `{DEFAULT}`")
    parser.add_argument(
        "--leap-day",
        choices=[*(rule.value for rule in LeapDay), DEFAULT],
        help="what 29 February becomes in a common year",
    )
    parser.add_argument("--weekend", choices=[rule.value for rule in Weekend], help="what a Saturday or Sunday becomes")
    parser.add_argument("--offset-days", metavar="DAYS", type=int, help="days before (below 0) or after the date")
    active = parser.add_mutually_exclusive_group()
    active.add_argument("--active", action="store_true", default=None, help="plan and send it")
    active.add_argument("--inactive", dest="active", action="store_false", help="cancel what is unsent, plan nothing")


def _add_recipient(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE")
    parser.add_argument(
        "--user", type=id_or_address, help="for this user, by the id or the email address, instead of made-up values"
    )
    parser.add_argument("--first-name", metavar="NAME", type=_name, help="(Ada)")
    parser.add_argument("--last-name", metavar="NAME", type=_last_name, help="empty for none (Lovelace)")
    parser.add_argument("--locale", metavar="TAG", type=_language)
    parser.add_argument("--years", type=_years, help="without it, the text for unknown years is shown")


def _of_field(field: fields.Field[Any], value: object) -> Any:
    """The value as this field of the API takes it. Raises ArgumentTypeError."""
    try:
        return field.deserialize(value)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{error.messages[0]} Not {value!r}") from None


def _address(text: str) -> str:
    return str(_of_field(EmailAddress(), text))


def _name(text: str) -> str:
    return str(_of_field(NameText(), text))


def _last_name(text: str) -> str:
    return _name(text) if text else ""


def _years(text: str) -> int:
    return int(_of_field(WholeNumber(0, MAX_YEARS), int(text) if re.fullmatch("[0-9]{1,9}", text) else text))


def _language(text: str) -> str:
    if (tag := language_tag(text)) is None:
        meant = suggest_tag(text)
        hint = f"; did you mean {meant}?" if meant else ""
        raise argparse.ArgumentTypeError(f"expected a language tag (BCP 47) such as de or pt-BR, not {text!r}{hint}")
    return tag


def _time(text: str) -> time | str:
    if text == DEFAULT:
        return text
    try:
        found: time = TimeOfDay().deserialize(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(f"expected HH:MM or `{DEFAULT}`, not {text!r}") from None
    return found


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the sub-command and return the exit code. Raises BadConfiguration, CommandFailed, WrongUsage, Unavailable."""
    if args.action == "set" and args.language is not None and not _texts(args):
        raise WrongUsage("--language: expected --text, --subject or --text-without-years with it")
    if args.action == "set":
        _refuse_mistakes(_changed(Occasion(args.code, _VALID, {args.language: _VALID} if args.language else {}), args))
    made_up = ("first_name", "last_name", "locale", "years")
    if getattr(args, "user", None) is not None and any(getattr(args, name) is not None for name in made_up):
        raise WrongUsage("expected --user or made-up values, not both")
    settings = read(environment) if args.action == "test-send" else None
    return asyncio.run(_run(args, read_database_url(environment), settings))


async def _run(args: argparse.Namespace, dsn: Secret, settings: Settings | None) -> int:
    database = Database(dsn, size=1)
    await database.open()
    try:
        occasions = PostgresOccasions(database)
        match args.action:
            case "list":
                problems = (await PostgresPlanning(database).rules()).problems
                for one in listed(await occasions.all(), problems):
                    _write(as_json(*one) if args.json else line(*one))
                return OK
            case "show":
                entry = await _entry(database, occasions, args.code)
                wrong = [one for one in (await PostgresPlanning(database).rules()).problems if one.code == args.code]
                _write(as_json(args.code, entry, wrong) if args.json else page(entry, wrong))
                return OK
            case "set":
                return await _set(occasions, args)
        entry = await _entry(database, occasions, args.code)
        recipient = await _recipient(database, args, entry.occasion)
        if settings is None:
            for text in rendered(entry.occasion, recipient):
                mark = " (chosen)" if text.chosen else ""
                shown = f"{text.language or DEFAULT}{mark}\n  subject: {text.subject}\n  text: {text.text}"
                _write(RenderedTextAnswer.json(text) if args.json else shown)
            return OK
        return await _test_send(database, settings, args, entry.occasion, recipient)
    finally:
        await database.close()


async def _entry(database: Database, occasions: PostgresOccasions, code: str) -> OccasionEntry:
    if (entry := await occasions.get(code)) is None:
        rules = await PostgresPlanning(database).rules()
        if problem := next((one for one in rules.problems if one.code == code), None):
            raise CommandFailed(
                f"the row of occasion {code!r} cannot be read, so it is left out: {problem.sentence}; "
                "`heyday occasions set` writes it anew"
            )
        known = ", ".join(rules.understood)
        raise CommandFailed(f"there is no occasion {code!r}; there are: {known}")
    return entry


async def _set(occasions: PostgresOccasions, args: argparse.Namespace) -> int:
    before = await occasions.get(args.code)
    if before is None and (args.text is None or args.language is not None):
        raise WrongUsage("a new occasion needs --text, and a text without --language first")
    if args.remove_language is not None and (before is None or args.remove_language not in before.occasion.texts):
        raise CommandFailed(f"{args.code} has no text in {args.remove_language}")
    occasion = _changed(before.occasion if before else Occasion(args.code, Text(DEFAULT_SUBJECT, "")), args)
    _refuse_mistakes(occasion)
    try:
        entry, created = await occasions.put(occasion, version=before.version if before else None, by=command_line())
    except OccasionChanged as error:
        raise CommandFailed("another person has just changed the occasion: look at it and try again") from error
    except TooManyOccasions as error:
        raise CommandFailed(f"nothing was changed: expected {MOST_OCCASIONS} occasions at most") from error
    except RowRefused as error:
        raise CommandFailed(f"the database refuses the occasion: {error.reason}") from error
    what = "created" if created else "changed" if before and entry.version != before.version else "as it was"
    _write(OccasionDetailsAnswer.json(entry) if args.json else f"{args.code}: {what}\n{page(entry)}")
    return OK


def _refuse_mistakes(occasion: Occasion) -> None:
    if mistakes := occasion.mistakes():
        raise WrongValue("nothing was changed: " + "; ".join(f"{field}: {sentence}" for field, sentence in mistakes))


def _texts(args: argparse.Namespace) -> dict[str, Any]:
    given = (("subject", args.subject), ("text", args.text), ("without_years", args.text_without_years))
    return {name: value for name, value in given if value is not None}


def _changed(one: Occasion, args: argparse.Namespace) -> Occasion:
    given = _texts(args)
    if args.text is not None and args.text_without_years is None:
        given["without_years"] = None
    texts = {tag: text for tag, text in one.texts.items() if tag != args.remove_language}
    default = one.default
    if args.language is None:
        default = replace(default, **given)
    elif given:
        texts[args.language] = replace(texts.get(args.language, Text(None, "")), **given)
    rules: dict[str, Any] = {
        "send_at": args.send_at,
        "leap_day": args.leap_day and (args.leap_day if args.leap_day == DEFAULT else LeapDay(args.leap_day)),
        "weekend": args.weekend and Weekend(args.weekend),
        "offset_days": args.offset_days,
        "active": args.active,
    }
    changes: dict[str, Any] = {
        name: None if value == DEFAULT else value for name, value in rules.items() if value is not None
    }
    return replace(one, default=default, texts=texts, **changes)


async def _recipient(database: Database, args: argparse.Namespace, occasion: Occasion) -> Recipient:
    if args.user is None:
        last_name = "Lovelace" if args.last_name is None else args.last_name or None
        return Recipient(args.first_name or "Ada", last_name, args.locale, args.years)
    planned = await PostgresPlanning(database).planned()
    users = PostgresUsers(database, late_limit=LATE_LIMIT, tzdata=TZDATA_VERSION)
    previews = PostgresPreviews(database, late_limit=LATE_LIMIT)
    if (user := await users.get(await user_id(args.user, previews.user_of))) is None:
        raise CommandFailed(f"there is no user {args.user}")
    return recipient_of(user, occasion.code, planned.now.astimezone(zone(user.profile.timezone)).date())


async def _test_send(
    database: Database, settings: Settings, args: argparse.Namespace, occasion: Occasion, recipient: Recipient
) -> int:
    # Imported here, because the other actions need no client, and it takes a while.
    from actors.email_clients import email_attempts

    if not may_write_to(email_key(args.to), settings.only_to):
        raise CommandFailed("nothing was sent: expected an address that HEYDAY_ONLY_TO names")
    chosen = next((one for one in settings.email_services if one.name == args.service), None)
    if chosen is None:
        raise CommandFailed("nothing was sent: expected HEYDAY_EMAIL_FALLBACK_URL for --service fallback")
    if found := await PostgresSuppressions(database).page(email=args.to, reason=None, after=None, limit=1):
        raise CommandFailed(f"nothing was sent: the address is suppressed ({found[0].reason})")
    greeting = greeting_for_test(occasion, recipient, args.to)
    await PostgresAuditLog(database).record(command_line(), AuditAction.OCCASION_TEST_SENT, [occasion.code])
    service = email_attempts(chosen, timeout=settings.email_timeout)
    await service.open()
    try:
        answer = await service.attempt(greeting)
    finally:
        await service.close()
    if args.json:
        _write(test_send_json(greeting, answer))
    else:
        said = f" ({answer.status_code})" if answer.status_code else ""
        _write(f"{answer.outcome}{said}: {answer.error or 'the email service has accepted it'}")
    return OK if answer.outcome is Outcome.ACCEPTED else FAILED


def _write(what: Mapping[str, object] | str) -> None:
    """Write JSON, or text for people."""
    sys.stdout.write((printable(what) if isinstance(what, str) else encode(what).decode()) + "\n")
