"""Runs `heyday doctor --adopt`: shows the situation, then what would be sent, then adopts the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from actors.commands.doctor.adoption import Adoption, Situation
from actors.commands.output import counted
from actors.commands.progress import Progress
from service.domain.cluster import REASONS
from service.settings import Settings

Say = Callable[[str], None]


async def adopt(adoption: Adoption, settings: Settings, *, resend: bool, dry_run: bool, say: Say) -> bool:
    """Adopt the database. False if nodes use another database with the same Redis. Raises Unavailable."""
    situation = await adoption.look()
    if not situation.finding.refused:
        say("There is nothing to adopt: nodes accept this database as it is.")
        return True
    say(f"Nodes refuse this database: {REASONS[situation.finding]}.")
    if situation.used_elsewhere:
        say(
            f"Nodes use another database ({situation.recalled.in_use}) with this "
            "Redis. Drain them, wait 30 seconds, and "
            "try again; or give this cluster a Redis of its own."
        )
        return False
    _show(situation, await adoption.known_as_accepted(situation.now), settings, say)
    if dry_run:
        say("Nothing was changed: this was a dry run.")
        return True
    with Progress("settling due messages"):
        settled, held = await adoption.settle(situation.now, hold=not resend)
        # Before anything is written: a reader who has left must not end this half-way.
        cluster = await adoption.adopt(situation)
    if settled:
        say(f"Recorded as sent: {counted(settled, 'message')}, which Redis remembers as accepted.")
    if not resend:
        say(
            f"Held: {counted(held, 'message is', 'messages are')} unknown now. "
            "`heyday doctor --ledger FILE --mend` records those that the email service has accepted. "
            "`heyday redrive --status unknown` sends the rest."
        )
    say(f"Adopted: this is now the database of cluster {cluster}. Waiting nodes continue within seconds.")
    return True


def _show(situation: Situation, accepted: int, settings: Settings, say: Say) -> None:
    if (known_at := situation.seen.known_at) is not None:
        say(f"Its records end at {_at(known_at)}. It is {_at(situation.now)} now.")
    due = counted(sum(one.count for one in situation.due), "message")
    say(f"Due now, and unsent according to this database: {due}.")
    for one in situation.due:
        say(f"  {one.count} {one.status}, of {_at(one.oldest)} to {_at(one.newest)}")
    if accepted:
        say(f"  {accepted} of them Redis remembers as accepted: they are recorded as sent, even after the late limit.")
    if situation.planned_until < situation.now:
        say(
            f"Messages due from {_at(situation.planned_until)} until now are not planned in it yet. They are planned "
            "next, with new ids: the email service does not recognise those that it has already accepted."
        )
    hosts = " or ".join(str(urlsplit(one.url).hostname) for one in settings.email_services)
    say(f"Messages go to the email service at {hosts}.")


def _at(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
